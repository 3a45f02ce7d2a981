//! A primary and its hot standby.

use postgres::Client;

use super::cluster::Cluster;
use super::postgres::{APP_READER, APP_READER_PASSWORD, create_roles};
use super::{Db, Site, eventually};

pub(crate) struct Replication {
    // The first to be dropped: a primary that ends waits for those that read from it.
    standby: Cluster,
    primary: Option<Cluster>,
}

impl Replication {
    /// A primary with a standby that has these settings besides those that all clusters have.
    pub(crate) fn start(settings: &[&str]) -> Self {
        // What is committed is written, so that a standby can be asked whether it has it.
        let primary = Cluster::start(&["synchronous_commit=on"]);
        create_roles(&mut primary.connect("postgres"));
        let standby = primary.standby(settings);
        Self { standby, primary: Some(primary) }
    }

    pub(crate) fn primary(&self) -> Client {
        self.of_primary().connect("postgres")
    }

    pub(crate) fn standby(&self) -> Client {
        self.standby.connect("postgres")
    }

    pub(crate) fn primary_url(&self) -> String {
        Self::url(&Self::address(self.of_primary()))
    }

    pub(crate) fn standby_url(&self) -> String {
        Self::url(&Self::address(&self.standby))
    }

    /// Both of them, the standby first.
    pub(crate) fn url_of_both(&self) -> String {
        Self::url(&format!("{},{}", Self::address(&self.standby), Self::address(self.of_primary())))
    }

    fn of_primary(&self) -> &Cluster {
        self.primary.as_ref().expect("a primary that is not lost")
    }

    fn address(cluster: &Cluster) -> String {
        format!("127.0.0.1:{}", cluster.port())
    }

    fn url(addresses: &str) -> String {
        format!("postgres://{APP_READER}:{APP_READER_PASSWORD}@{addresses}/postgres")
    }

    /// A site whose source is there, and whose store is a file: nothing can be written on a standby.
    pub(crate) fn site(source_url: &str) -> Site {
        let mut site = Site::bare(Db::Sqlite);
        site.set("HEADCOUNT_SOURCE_URL", source_url);
        site
    }

    /// Where the primary's log ends.
    fn written(&self) -> String {
        self.primary().query_one("SELECT pg_current_wal_lsn()::text", &[]).unwrap().get(0)
    }

    /// Waits until the standby has all that the primary has.
    pub(crate) fn catch_up(&self) {
        let at = self.written();
        let mut standby = self.standby();
        let is_there = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn");
        // The standby may end this session, too, for being in its way.
        eventually("the standby has caught up", || {
            standby.query_one(&is_there, &[]).is_ok_and(|row| row.get(0))
        });
    }

    /// Waits until the standby has followed the primary as far as its readers let it.
    pub(crate) fn catch_up_or_wait(&self) {
        let at = self.written();
        let mut standby = self.standby();
        let place = format!(
            "SELECT pg_last_wal_replay_lsn()::text, pg_last_wal_replay_lsn() >= '{at}'::pg_lsn
             WHERE pg_last_wal_receive_lsn() >= '{at}'::pg_lsn"
        );
        let (mut last, mut looks) = (None, 0);
        eventually("the standby is there, or waits", || {
            let row = standby.query_opt(&place, &[]).ok().flatten();
            let Some((replayed, is_there)) = row.map(|row| (row.get::<_, String>(0), row.get(1))) else {
                return false;
            };
            looks = if last.as_ref() == Some(&replayed) { looks + 1 } else { 0 };
            last = Some(replayed);
            is_there || looks >= 30
        });
    }

    /// Makes the standby a primary.
    pub(crate) fn promote(&self) {
        let promoted: bool = self.standby().query_one("SELECT pg_promote()", &[]).unwrap().get(0);
        assert!(promoted);
    }

    /// Kills the primary without a word.
    pub(crate) fn kill_the_primary(&mut self) {
        self.of_primary().kill();
        self.primary = None;
    }

    /// Ends the primary and the sessions that are open on it.
    pub(crate) fn lose_the_primary(&mut self) {
        self.primary = None;
    }
}
