//! The users of real frameworks: a schema as each makes it, rows, and what their full export is.

use std::path::{Path, PathBuf};

use super::{Db, Site};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/frameworks");

pub(crate) struct Framework {
    dir: PathBuf,
    pub(crate) db: Db,
}

impl Framework {
    /// Checks that `names` are all fixtures of the database that they are for.
    pub(crate) fn assert_all_of_their_database(names: &[&str]) {
        let db = Self::named(names[0]).db;
        let mut all = Self::names();
        all.retain(|name| Self::named(name).db == db);
        assert_eq!(all, names);
    }

    /// The names of all, sorted.
    fn names() -> Vec<String> {
        let entries = std::fs::read_dir(FIXTURES).unwrap().map(Result::unwrap);
        let directories = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn named(name: &str) -> Self {
        let dir = Path::new(FIXTURES).join(name);
        let schema = read(&dir.join("schema.sql"));
        let db = match schema.lines().next() {
            Some("-- database: sqlite") => Db::Sqlite,
            Some("-- database: postgres") => Db::Postgres,
            other => panic!("{name}: schema.sql starts with {other:?}"),
        };
        Self { dir, db }
    }

    /// A site whose source holds the framework's tables and rows; nothing is configured but where it is.
    pub(crate) fn site(&self) -> Site {
        let mut site = Site::bare(self.db);
        if self.db == Db::Postgres {
            site.set("HEADCOUNT_SOURCE_URL", &site.database().backup_url());
        }
        for file in ["schema.sql", "rows.sql"] {
            let sql = read(&self.dir.join(file));
            match self.db {
                Db::Sqlite => site.sql(&sql),
                // In a session of its own, because a dump sets what it likes.
                Db::Postgres => {
                    let loaded = site.database().connect().batch_execute(&sql);
                    loaded.unwrap_or_else(|error| panic!("{}/{file}: {error:?}", self.dir.display()));
                }
            }
        }
        site
    }

    /// The part of `headcount.toml` that fits the schema.
    pub(crate) fn mapping(&self) -> String {
        read(&self.dir.join("mapping.toml"))
    }

    /// The statements that fill the tables.
    pub(crate) fn rows(&self) -> String {
        read(&self.dir.join("rows.sql"))
    }

    pub(crate) fn full_export(&self) -> String {
        read(&self.dir.join("full.csv"))
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
