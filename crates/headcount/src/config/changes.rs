//! What of a configuration that is read again can take effect at once.

use super::{Config, SourceConfig};

impl Config {
    /// This configuration with what another one changes of the exports and the features; `None` where the other one describes
    /// another source, whose columns the exports may be made of.
    pub fn with_exports_of(&self, other: &Self) -> Option<Self> {
        (self.source == other.source).then(|| Self {
            profiles: other.profiles.clone(),
            flags: other.flags.clone(),
            ..self.clone()
        })
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
