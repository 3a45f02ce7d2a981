//! What of a configuration that is read again can take effect at once.

use super::{Config, SourceConfig};
use headcount_store::flags::Flags;

impl Config {
    /// Whether the exports of another configuration can be made of the same source.
    pub fn has_source_of(&self, other: &Self) -> bool {
        self.source == other.source
    }

    /// This configuration with what another one changes of the features and, where the source is the same, of the exports.
    pub fn with_exports_of(&self, other: &Self) -> Self {
        if self.has_source_of(other) {
            let (profiles, flags) = (other.profiles.clone(), other.flags.clone());
            return Self { profiles, flags, ..self.clone() };
        }
        let is_known = |name: &&String| self.flags.known.contains(name);
        let features = other.flags.features.iter().filter(is_known).cloned().collect();
        Self { flags: Flags { features, ..self.flags.clone() }, ..self.clone() }
    }

    /// The settings that differ, and that only a restart makes take effect.
    pub fn needing_restart(&self, other: &Self) -> Vec<&'static str> {
        let SourceConfig { url, .. } = &self.source;
        let changes = [
            ("listen", self.listen != other.listen),
            ("data_dir", self.data_dir != other.data_dir),
            ("source.url", *url != other.source.url),
            ("[source]", self.source != other.source && *url == other.source.url),
            ("store.url", self.store != other.store),
            ("log.format", self.log_format != other.log_format),
            ("[limits]", self.limits != other.limits),
            ("[tls]", self.tls != other.tls),
            ("trusted_proxies", self.trusted_proxies != other.trusted_proxies),
        ];
        changes.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
