//! `--time-zone`, for the commands that read or show local times.

use super::Usage;
use clap::Args;
use headcount_model::moment::{self, Clock};
use headcount_model::timestamp::Timestamp;
use jiff::tz::TimeZone;

#[derive(Debug, Args)]
pub(super) struct Zone {
    /// The time zone of dates and times without an offset, as in Europe/Berlin
    #[arg(long = "time-zone", value_name = "ZONE")]
    name: Option<String>,
}

impl Zone {
    /// The clock in this zone, or else in that of the machine.
    pub(super) fn local(&self) -> Result<Clock, Usage> {
        self.or(TimeZone::system())
    }

    /// The clock in this zone, or else in that one.
    pub(super) fn or(&self, other: TimeZone) -> Result<Clock, Usage> {
        Ok(self.named()?.unwrap_or_else(|| Clock { zone: other, now: Timestamp::now() }))
    }

    /// The clock in this zone, if one is named.
    pub(super) fn named(&self) -> Result<Option<Clock>, Usage> {
        let named = self.name.as_deref().map(moment::zone).transpose();
        let zone = named.map_err(|problem| Usage(format!("--time-zone: {problem}")))?;
        Ok(zone.map(|zone| Clock { zone, now: Timestamp::now() }))
    }
}
