//! The contract, tested from outside: every case drives the compiled program
//! over HTTP or its command line, on SQLite and on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[macro_use]
mod harness;

mod audit;
mod audit_batches;
mod audit_chain;
mod audit_tampered;
mod budgets;
mod check;
mod check_source;
mod cli;
mod column_types;
mod config;
mod csv_format;
mod demo;
mod endpoints;
mod faults;
mod flags;
mod frameworks;
mod headers;
mod hostile;
mod https;
mod import;
mod init;
mod init_file;
mod init_grants;
mod init_odd;
mod instances;
mod keys;
mod leaving;
mod limits;
mod mapping;
mod mapping_errors;
mod mapping_refusals;
mod mapping_times;
mod masks;
mod operations;
mod overload;
mod pages;
mod pages_damaged;
mod parameters;
mod parts;
mod parts_live;
mod parts_postgres;
mod parts_postgres_live;
mod parts_postgres_requests;
mod parts_postgres_snapshot;
mod parts_snapshot;
mod pgbouncer;
mod pooled;
mod post_forms;
mod preflight;
mod preflight_cost;
mod profile_access;
mod profiles;
mod property;
mod python;
mod receipts;
mod refusals;
mod rewritten;
mod sanitize;
mod schema_change;
mod secrets;
mod shutdown;
mod snapshot;
mod source;
mod stalling;
mod standby;
mod streaming;
mod text_ids;
mod trailers;
mod values;
mod verify;
