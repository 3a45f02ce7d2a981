//! The users of real frameworks and applications: a schema as each makes it, rows, and what their full export is.

use std::path::{Path, PathBuf};

use super::{Db, Site};

const FRAMEWORKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/frameworks");
const APPLICATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/applications");

pub(crate) struct Framework {
    dir: PathBuf,
    pub(crate) db: Db,
}

impl Framework {
    /// Checks that `names` are all fixtures of the database that they are for.
    pub(crate) fn assert_all_of_their_database(names: &[&str]) {
        let db = Self::named(names[0]).db;
        let mut all = names_in(FRAMEWORKS);
        all.retain(|name| Self::named(name).db == db);
        assert_eq!(all, names);
    }

    /// The names of all applications, sorted.
    pub(crate) fn applications() -> Vec<String> {
        names_in(APPLICATIONS)
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::at(Path::new(FRAMEWORKS).join(name))
    }

    pub(crate) fn of_application(name: &str) -> Self {
        Self::at(Path::new(APPLICATIONS).join(name))
    }

    fn at(dir: PathBuf) -> Self {
        let schema = read(&dir.join("schema.sql"));
        let db = match schema.lines().next() {
            Some("-- database: sqlite") => Db::Sqlite,
            Some("-- database: postgres") => Db::Postgres,
            other => panic!("{}: schema.sql starts with {other:?}", dir.display()),
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
                // Rows may stand before those that they refer to.
                Db::Sqlite => site.sql(&format!("PRAGMA foreign_keys = OFF; {sql}")),
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
        self.export_in("full.csv")
    }

    /// What a full export should be, of one of several tables with users.
    pub(crate) fn export_in(&self, file: &str) -> String {
        read(&self.dir.join(file))
    }
}

/// The names of the fixtures in a directory, sorted.
fn names_in(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
