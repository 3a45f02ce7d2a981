//! A PostgreSQL of one's own, which can be killed and started again.

use postgres::Client;

use super::cluster::Cluster;
use super::postgres::{APP_READER, APP_READER_PASSWORD, HEADCOUNT_STORE, create_roles};
use super::{Db, Site};

pub(crate) struct Outage(Cluster);

impl Outage {
    /// A server with so many users, which a site can read, and room for a store.
    pub(crate) fn with_users(users: u32) -> Self {
        // What is committed outlives the server.
        let cluster = Cluster::start(&["synchronous_commit=on"]);
        let mut admin = cluster.connect("postgres");
        create_roles(&mut admin);
        let (db, at) = (Db::Postgres, Db::Postgres.second_of_2025());
        let fill = format!(
            "SET TIME ZONE 'UTC'; {}
             INSERT INTO users SELECT i, 'user' || i || '@example.com', 'User ' || i, {at}, {at}, i % 3 <> 0,
             i % 10 = 0 FROM {};
             ANALYZE users; GRANT SELECT ON users TO {APP_READER};
             GRANT CREATE ON SCHEMA public TO {HEADCOUNT_STORE}",
            db.users_table(),
            db.series(users)
        );
        admin.batch_execute(&fill).unwrap();
        Self(cluster)
    }

    /// A site whose source is there, and whose store is a file.
    pub(crate) fn site(&self) -> Site {
        self.site_through(self.port())
    }

    /// The same, through another port.
    pub(crate) fn site_through(&self, port: u16) -> Site {
        let mut site = Site::bare(Db::Sqlite);
        let source = format!("postgres://{APP_READER}:{APP_READER_PASSWORD}@127.0.0.1:{port}/postgres");
        site.set("HEADCOUNT_SOURCE_URL", &source);
        site
    }

    /// The same, unencrypted.
    pub(crate) fn plain_site_through(&self, port: u16) -> Site {
        let mut site = self.site_through(port);
        let source = format!(
            "postgres://{APP_READER}:{APP_READER_PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable"
        );
        site.set("HEADCOUNT_SOURCE_URL", &source);
        site
    }

    /// The address of a store there, through this port.
    pub(crate) fn store_url(port: u16) -> String {
        format!("postgres://{HEADCOUNT_STORE}@127.0.0.1:{port}/postgres")
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    pub(crate) fn connect(&self) -> Client {
        self.0.connect("postgres")
    }

    /// Sessions of `role`, busy or not.
    pub(crate) fn sessions(&self, role: &str) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
        self.connect().query_one(count, &[&role]).unwrap().get(0)
    }

    pub(crate) fn kill(&self) {
        self.0.kill();
    }

    pub(crate) fn start_again(&self) {
        self.0.start_again();
    }
}
