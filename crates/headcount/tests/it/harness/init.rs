//! `init` on the users database of a site.

use super::{Finished, Site};

impl Site {
    /// Where the users are, as an argument of `init`.
    pub(crate) fn source_url(&self) -> String {
        self.variable("HEADCOUNT_SOURCE_URL").to_owned()
    }

    /// Runs `init --yes` on the users database, named as an argument.
    pub(crate) fn init(&self, arguments: &[&str]) -> Finished {
        let url = self.source_url();
        let mut all = vec!["init", &url, "--yes"];
        all.extend(arguments);
        self.run_exactly(&all)
    }

    /// The configuration that `init` prints.
    pub(crate) fn printed_configuration(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--print"];
        all.extend(arguments);
        let finished = self.init(&all);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.text()
    }

    /// The full export with this configuration, which is all that says where the users are.
    pub(crate) fn full_export_with(&mut self, configuration: &str) -> String {
        let url = self.source_url();
        self.unset("HEADCOUNT_SOURCE_URL");
        self.configure(configuration);
        let exported = self.done(&["export", "full"]);
        std::fs::remove_file(self.path("headcount.toml")).unwrap();
        self.set("HEADCOUNT_SOURCE_URL", &url);
        exported
    }
}
