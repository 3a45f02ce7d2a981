//! The program: command line, HTTP, configuration, checks.

// `headcount COMMAND`: parses, dispatches, prints.
pub mod cli;
// File, environment and arguments become one validated configuration.
pub mod config;
// What is wrong, why it matters, what to do.
pub mod doctor;
// The web: endpoints, keys, errors, and the server.
pub mod http;
// Loads a CSV into the embedded users table.
pub mod import;
// Deterministic users to try things with.
pub mod sample;
// What is done with keys, flags and the audit, whoever asks.
pub mod service;
// Logs.
pub mod telemetry;
// The certificate that clients are shown.
pub mod tls;
