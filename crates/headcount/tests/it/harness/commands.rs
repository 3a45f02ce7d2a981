//! The command line of a site.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::site::ALL_FEATURES;
use super::{Site, wait_for, wait_for_exit};

impl Site {
    /// Runs a command with the site's data directory to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        let data_dir = self.data_dir();
        let mut all = vec!["--data-dir", data_dir.to_str().unwrap()];
        all.extend(arguments);
        self.run_exactly(&all)
    }

    /// Runs a command that may write no file of more than so many bytes.
    pub(crate) fn run_limited(&self, bytes: u64, arguments: &[&str]) -> Finished {
        let mut command = self.command_by(&["prlimit", &format!("--fsize={bytes}")]);
        command.arg("--data-dir").arg(self.data_dir()).args(arguments);
        Finished::of(command)
    }

    pub(crate) fn run_exactly(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command();
        command.args(arguments);
        Finished::of(command)
    }

    /// Runs a command that has to succeed and returns what it wrote to stdout.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
        finished.text()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    pub(crate) fn create_key(&self, arguments: &[&str]) -> String {
        let mut all = vec!["keys", "create"];
        all.extend(arguments);
        self.done(&all).trim_end().to_owned()
    }

    /// Configures the site, switches the named exports on, and makes a key that may do them and the full one.
    pub(crate) fn declare(&mut self, toml: &str, exports: &[&str]) -> String {
        self.configure(toml);
        let mut arguments = vec!["keys", "create", "declared", "--kind", "export"];
        let grants: Vec<_> = exports.iter().map(|name| format!("users:export_{name}")).collect();
        self.set("HEADCOUNT_FEATURES", &format!("{ALL_FEATURES},{}", grants.join(",")));
        for grant in &grants {
            arguments.extend(["--grant", grant]);
        }
        self.done(&arguments).trim_end().to_owned()
    }

    pub(crate) fn keys(&self) -> Vec<Value> {
        array(self.json(&["keys", "list", "--json"]))
    }

    pub(crate) fn key_id(&self, name: &str) -> String {
        let keys = self.keys();
        let key = keys.iter().find(|key| key["name"] == name).unwrap();
        key["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn flag(&self, name: &str) -> Value {
        let flags = array(self.json(&["flags", "list", "--json"]));
        let mut found = flags.into_iter().filter(|flag| flag["name"] == name);
        found.next().unwrap()
    }

    /// The audit, newest record first; nothing where there is no store yet.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let finished = self.run(&["audit", "list", "--json"]);
        if finished.stderr.contains("there is no store yet") {
            return Vec::new();
        }
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        array(serde_json::from_slice(&finished.stdout).unwrap())
    }

    pub(crate) fn audit_record(&self, export_id: &str) -> Value {
        let mut records = self.audit().into_iter();
        records
            .find(|record| record["id"] == export_id)
            .unwrap_or_else(|| panic!("no audit record {export_id}"))
    }

    /// The record of an export, once it has an outcome.
    pub(crate) fn settled(&self, export_id: &str) -> Value {
        wait_for("the audit record is settled", || {
            Some(self.audit_record(export_id)).filter(|record| !record["outcome"].is_null())
        })
    }

    /// The audit, once it has `n` records.
    pub(crate) fn audit_of(&self, n: usize) -> Vec<Value> {
        wait_for("the audit is complete", || Some(self.audit()).filter(|records| records.len() >= n))
    }
}

pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    fn of(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let [stdout, stderr]: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let [stdout, stderr] = [stdout, stderr].map(|mut stream| {
            std::thread::spawn(move || {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                all
            })
        });
        let status = wait_for_exit(&mut child);
        Self {
            code: status.code(),
            stdout: stdout.join().unwrap(),
            stderr: String::from_utf8(stderr.join().unwrap()).unwrap(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// What a person at a terminal would see.
    pub(crate) fn everything(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => panic!("expected an array, got {other}"),
    }
}
