//! What is counted of exports, for `/metrics`.

use headcount_model::plan::Profile;
use headcount_store::audit::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// What `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    exports: Family<ExportLabels, Counter>,
    rows: Counter,
    bytes: Counter,
    duration: Histogram,
    in_flight: Gauge,
    /// Slots that are taken.
    pub slots: Gauge,
    /// Exports that were read and wait for their clients without a slot.
    pub parked: Gauge,
    /// Requests that wait for a slot.
    pub waiting: Gauge,
    /// Bytes of disk that keep what slow clients have not taken.
    pub spool: Gauge,
    refused: Family<RefusedLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExportLabels {
    endpoint: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

/// From a page of users to the better part of an hour, in seconds.
const DURATION_BUCKETS: [f64; 12] = [0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 2400.0];

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("headcount"),
            exports: Family::default(),
            rows: Counter::default(),
            bytes: Counter::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            in_flight: Gauge::default(),
            slots: Gauge::default(),
            parked: Gauge::default(),
            waiting: Gauge::default(),
            spool: Gauge::default(),
            refused: Family::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("exports", "Exports that ended, by profile and outcome", self.exports.clone());
        registry.register("export_rows", "Users handed to clients", self.rows.clone());
        registry.register(
            "export_bytes",
            "Uncompressed content handed to clients, in bytes",
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "export_duration",
            "From the start of an export to the end of its body",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register("exports_in_flight", "Exports that are running", self.in_flight.clone());
        registry.register("slots_taken", "Exports and looks that read the source", self.slots.clone());
        registry.register(
            "exports_parked",
            "Exports that were read and wait for their clients without a slot",
            self.parked.clone(),
        );
        registry.register("exports_waiting", "Requests that wait for a slot", self.waiting.clone());
        registry.register_with_unit(
            "spool",
            "Disk that keeps what slow clients have not taken",
            Unit::Bytes,
            self.spool.clone(),
        );
        registry.register(
            "refused",
            "Requests to the export endpoints that got no export",
            self.refused.clone(),
        );
        self
    }

    /// An export starts.
    pub fn export_started(&self) {
        self.in_flight.inc();
    }

    /// An export ended, one way or another.
    pub fn export_ended(
        &self,
        profile: &Profile,
        outcome: Outcome,
        rows: u64,
        bytes: u64,
        duration: Duration,
    ) {
        self.in_flight.dec();
        self.exports
            .get_or_create(&ExportLabels { endpoint: profile.name.clone(), outcome: outcome.name() })
            .inc();
        self.rows.inc_by(rows);
        self.bytes.inc_by(bytes);
        self.duration.observe(duration.as_secs_f64());
    }

    /// A request was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    /// Everything as OpenMetrics text (OpenMetrics 1.0, "Text format").
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
