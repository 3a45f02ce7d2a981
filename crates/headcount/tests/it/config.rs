//! Where settings come from, and what a wrong one says.

use serde_json::Value;

use crate::harness::{
    ALIVE, Db, FULL, Finished, MINIMAL, PEOPLE_MINIMAL, SIMPLE, STANDARD_KEY, Server, Site,
};

fn site() -> Site {
    Site::with_people(Db::Sqlite)
}

/// Starting is refused, and whoever reads why can mend it.
fn assert_refused(finished: &Finished, words: &[&str]) {
    assert!(matches!(finished.code, Some(1 | 2)), "{:?}", finished.code);
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

#[test]
fn an_unknown_key_in_the_file_stops_the_start() {
    let site = site();
    for (toml, key) in [
        ("listne = \"127.0.0.1:0\"", "listne"),
        ("[source]\nurll = \"sqlite:x\"", "urll"),
        ("[limits]\nconcurrent_export = 3", "concurrent_export"),
        ("[exports.minimal]\nfile_name = \"x.csv\"", "file_name"),
        ("[sauce]\nurl = \"sqlite:x\"", "sauce"),
        ("[log]\nfromat = \"json\"", "fromat"),
    ] {
        site.configure(toml);
        assert_refused(&site.run(&["serve"]), &["headcount.toml", key]);
    }
}

#[test]
fn a_bad_value_in_the_file_stops_the_start() {
    let mut site = Site::embedded();
    site.unset("HEADCOUNT_FEATURES");
    for (toml, key) in [
        ("listen = \"nowhere\"", "listen"),
        ("listen = 8080", "listen"),
        ("features = [\"users:exprot\"]", "features"),
        ("[source]\nurl = \"mysql://localhost/app\"", "source.url"),
        ("[source]\nimmutable = true", "source.immutable"),
        ("[source]\nimmutable = true\nurl = \"postgres://localhost/app\"", "source.immutable"),
        ("[store]\nurl = \"redis://localhost\"", "store.url"),
        ("[log]\nformat = \"xml\"", "format"),
        ("[limits]\nconcurrent_exports = \"many\"", "concurrent_exports"),
        ("[limits]\nconcurrent_exports = 0", "concurrent_exports"),
        ("[limits]\nshutdown_grace = \"a while\"", "shutdown_grace"),
        ("[limits]\nconcurrent_exports_per_key = -1", "limits.concurrent_exports_per_key"),
        ("[limits]\nqueue = 100000", "limits.queue"),
        ("[limits]\nqueue_timeout = \"soon\"", "limits.queue_timeout"),
        ("[limits]\nclient_stall = \"999ms\"", "limits.client_stall"),
        ("[limits]\nclient_stall = \"2d\"", "limits.client_stall"),
        ("[limits]\nspool_bytes = -1", "limits.spool_bytes"),
        ("[limits]\nspool_bytes = 1", "16777216"),
        ("[limits]\nspool_bytes = 16777215", "limits.spool_bytes"),
        ("[limits]\nspool_bytes = \"1GiB\"", "spool_bytes"),
        ("[limits]\nsource_hold = \"long\"", "limits.source_hold"),
        ("[limits]\nconnections = 0", "limits.connections"),
        ("[tls]\ncert = \"server.crt\"", "tls"),
        ("trusted_proxies = [\"localhost/33\"]", "trusted_proxies"),
        ("[exports.minimal]\nfilename = 'the \"best\".csv'", "exports.minimal.filename"),
        ("[exports.full]\nfilename = \"../users.csv\"", "exports.full.filename"),
        ("[exports.full]\nfilename = \"users.csv\\r\\nX-Evil: 1\"", "exports.full.filename"),
    ] {
        site.configure(toml);
        assert_refused(&site.run(&["serve"]), &["headcount.toml", key]);
    }
    site.configure("listen = \"127.0.0.1:0\nfeatures = [");
    assert_refused(&site.run(&["serve"]), &["headcount.toml"]);
}

#[test]
fn a_bad_value_in_the_environment_stops_the_start() {
    for (name, value) in [
        ("HEADCOUNT_LISTEN", "nowhere"),
        ("HEADCOUNT_FEATURES", "users:export,users:exprot"),
        ("HEADCOUNT_SOURCE_URL", "mysql://localhost/app"),
        ("HEADCOUNT_STORE_URL", "redis://localhost"),
        ("HEADCOUNT_LOG_FORMAT", "xml"),
        ("HEADCOUNT_CONCURRENT_EXPORTS", "many"),
        ("HEADCOUNT_CONCURRENT_EXPORTS", "0"),
        ("HEADCOUNT_API_KEY", "too short"),
        ("HEADCOUNT_EXPORT_API_KEY", "fifteen letters"),
    ] {
        let mut site = site();
        site.set(name, value);
        let finished = site.run(&["serve"]);
        assert_refused(&finished, &[name]);
        if name.ends_with("API_KEY") {
            assert!(!finished.stderr.contains(value), "{}", finished.stderr);
        }
    }
}

#[test]
fn a_bad_listen_argument_is_bad_usage() {
    let finished = site().run(&["serve", "--listen", "nowhere"]);
    assert_eq!(finished.code, Some(2));
}

#[test]
fn the_environment_overrides_the_file() {
    let mut site = site();
    site.configure("features = [\"users:export\", \"users:export_simple\"]\n");
    site.set("HEADCOUNT_FEATURES", "users:export_alive");
    let server = site.serve();
    assert_eq!(server.status_with(STANDARD_KEY, MINIMAL), 403);
    assert_eq!(server.get(SIMPLE).status, 403);
    assert_eq!(server.get(ALIVE).status, 200);
}

#[test]
fn arguments_override_the_environment_which_overrides_the_file() {
    let mut site = site();
    let made = |site: &Site, arguments: &[&str], dir: &str| {
        let mut all = arguments.to_vec();
        all.extend(["keys", "create", "anybody", "--kind", "standard"]);
        let finished = site.run_exactly(&all);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(site.path(dir).join("headcount.db").exists(), "{dir}");
    };
    made(&site, &[], "headcount-data");
    site.configure("data_dir = \"from-file\"\n");
    made(&site, &[], "from-file");
    site.set("HEADCOUNT_DATA_DIR", "from-environment");
    made(&site, &[], "from-environment");
    made(&site, &["--data-dir", "from-argument"], "from-argument");
}

#[test]
fn the_file_may_be_named() {
    let mut site = site();
    site.unset("HEADCOUNT_FEATURES");
    site.configure("features = [\"users:export_simple\"]\n");
    let elsewhere = site.path("elsewhere.toml");
    std::fs::write(&elsewhere, "features = [\"users:export_alive\"]\n").unwrap();
    let server = site.serve_with(&["--config", elsewhere.to_str().unwrap()]);
    assert_eq!(server.get(ALIVE).status, 200);
    assert_eq!(server.get(SIMPLE).status, 403);

    let finished = site.run(&["--config", "missing.toml", "flags", "list"]);
    assert_refused(&finished, &["missing.toml"]);
}

#[test]
fn the_defaults_serve_an_embedded_users_table() {
    let site = Site::embedded();
    let server = site.serve();
    assert!(site.data_dir().join("users.db").exists());
    assert!(site.data_dir().join("headcount.db").exists());
    let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
    assert_eq!(csv, "id,email,name\r\n");
}

#[test]
fn only_the_default_source_is_ever_created() {
    let mut site = Site::embedded();
    let data_dir = site.data_dir();
    let named = format!("sqlite:{}/other.db", data_dir.display());
    site.set("HEADCOUNT_SOURCE_URL", &named);
    assert_eq!(site.run(&["export", "minimal"]).code, Some(1));
    assert!(!data_dir.join("other.db").exists());
    assert!(!data_dir.join("users.db").exists());
}

/// As for whoever is in the wrong directory, or has forgotten --config.
#[test]
fn what_only_reads_makes_nothing_and_says_what_is_missing() {
    let site = Site::embedded();
    let nothing = |arguments: &[&str], missing: &[&str]| {
        let finished = site.run_exactly(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}: {}", finished.stderr);
        for words in missing {
            assert!(
                finished.everything().contains(words),
                "{arguments:?} {words}: {}",
                finished.everything()
            );
        }
        assert!(!site.path("headcount-data").exists(), "{arguments:?}");
    };
    std::fs::write(site.path("users.csv"), "id,email,name\r\n1,a@example.com,Ada\r\n").unwrap();
    let source = ["headcount-data/users.db", "source.url", "headcount.toml", "--config"];
    nothing(&["export", "full", "-o", "users.csv"], &source);
    nothing(&["export", "full", "--preflight"], &source);
    nothing(&["check"], &source);
    for list in
        [["audit", "list"], ["audit", "head"], ["audit", "verify"], ["keys", "list"], ["flags", "list"]]
    {
        nothing(&list, &["headcount-data/headcount.db", "headcount.toml", "--config"]);
    }
    for command in [
        &["receipts", "show", "01M84X0D8P4MZ9ZZZQFK9SVNT1"][..],
        &["receipts", "public-key"],
        &["keys", "revoke", "crm"],
        &["keys", "rotate", "crm"],
    ] {
        nothing(command, &["headcount-data/headcount.db"]);
    }
    assert_eq!(std::fs::read_to_string(site.path("users.csv")).unwrap().lines().count(), 2);
    // There is one, so it is not what is missing.
    site.configure("listen = \"127.0.0.1:0\"\n");
    assert!(!site.run_exactly(&["keys", "list"]).stderr.contains("--config"));
}

#[test]
fn a_store_in_a_database_is_not_made_by_who_only_reads() {
    let site = Site::with_people(Db::Postgres);
    let tables = || site.column("SELECT tablename FROM pg_tables WHERE tablename LIKE 'headcount%'");
    for arguments in [&["keys", "list"][..], &["flags", "list"], &["audit", "list", "--json"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        assert!(finished.stderr.contains("no tables of it"), "{}", finished.stderr);
        assert!(tables().is_empty(), "{arguments:?}");
    }
    site.findings().assert_one("ok", "store", &["not there yet"]);
    assert!(tables().is_empty());
    site.done(&["export", "minimal"]);
    assert!(!tables().is_empty());
    site.done(&["keys", "list"]);
}

/// Wherever a command is run, and wherever the process that serves was started.
#[test]
fn paths_in_the_file_start_at_the_file() {
    let mut site = Site::with_people(Db::Sqlite);
    site.unset("HEADCOUNT_SOURCE_URL");
    let elsewhere = site.path("etc/headcount.toml");
    std::fs::create_dir(site.path("etc")).unwrap();
    let config = elsewhere.to_str().unwrap();
    let export = |toml: &str, arguments: &[&str]| {
        std::fs::write(&elsewhere, toml).unwrap();
        let all = [&["--config", config, "export", "minimal"], arguments].concat();
        let finished = site.run_exactly(&all);
        assert_eq!(finished.text(), PEOPLE_MINIMAL, "{}", finished.stderr);
    };
    let source = "[source]\nurl = \"sqlite:../app/users.db\"\n";
    export(source, &[]);
    assert!(site.path("etc/headcount-data/headcount.db").exists());
    export(&format!("data_dir = \"state\"\n{source}"), &[]);
    assert!(site.path("etc/state/headcount.db").exists());
    export(&format!("{source}[store]\nurl = \"sqlite:own.db\"\n"), &[]);
    assert!(site.path("etc/own.db").exists());
    // What is on the command line starts here, and so does what is in the environment.
    export(source, &["--data-dir", "here"]);
    assert!(site.path("here/headcount.db").exists());
    site.set("HEADCOUNT_SOURCE_URL", "sqlite:app/users.db");
    std::fs::write(&elsewhere, "").unwrap();
    assert_eq!(site.run_exactly(&["--config", config, "export", "minimal"]).text(), PEOPLE_MINIMAL);
}

#[test]
fn a_key_of_the_top_that_stands_in_a_section_is_sent_there() {
    let site = Site::embedded();
    for key in ["data_dir = \"state\"", "features = []", "trusted_proxies = []", "listen = \"127.0.0.1:0\""] {
        site.configure(&format!("# mine\n[source]\ntable = \"users\"\n{key}\n"));
        let name = key.split(' ').next().unwrap();
        assert_refused(&site.run(&["serve"]), &["line 4", name, "belongs above [source]"]);
    }
    site.configure("[source]\ncolour = \"red\"\n");
    assert!(!site.run(&["serve"]).stderr.contains("belongs above"));
}

#[test]
fn every_setting_may_stand_in_the_file() {
    let mut site = Site::with_users(Db::Sqlite, 3);
    site.sql("ALTER TABLE users RENAME TO members");
    for name in ["HEADCOUNT_SOURCE_URL", "HEADCOUNT_FEATURES"] {
        site.unset(name);
    }
    site.configure(
        r#"
listen = "127.0.0.1:0"
data_dir = "state"
features = ["users:export", "users:export_full"]
trusted_proxies = ["127.0.0.1"]

[source]
url = "sqlite:app/users.db"
table = "members"
where = "id <> 2"
timestamps = "text"
parallelism = 1
allow_sensitive = ["pin"]

[source.columns]
pin = { sql = "7" }

[store]
url = "sqlite:state/store.db"

[exports.minimal]
filename = "members.csv"
mask = { email = "redact" }

[exports.pins]
columns = ["pin"]

[log]
format = "json"

[limits]
concurrent_exports = 2
concurrent_exports_per_key = 1
queue = 0
queue_timeout = "1s"
client_stall = "1m"
spool_bytes = 16777216
source_hold = "10s"
source_stall = "1m"
connections = 100
shutdown_grace = "10s"
failed_keys_per_minute = 10
requests_per_minute = 100
"#,
    );
    std::fs::create_dir_all(site.path("state")).unwrap();
    let mut command = site.command();
    command.arg("serve");
    let server = Server::start(command);
    let answer = server.get_with(STANDARD_KEY, MINIMAL);
    assert_eq!(answer.csv(), "id,email,name\r\n1,[redacted],User 1\r\n3,[redacted],User 3\r\n");
    assert!(answer.header("content-disposition").contains("members.csv"));
    assert!(site.path("state/store.db").exists());
    let answer = server.get_with(STANDARD_KEY, FULL);
    answer.detail(403);
}

#[test]
fn the_log_is_json_where_it_is_asked_for_and_where_nobody_watches() {
    for (format, json) in [(None, true), (Some("json"), true), (Some("text"), false)] {
        let mut site = site();
        if let Some(format) = format {
            site.set("HEADCOUNT_LOG_FORMAT", format);
        }
        let server = site.serve();
        let answer = server.get_with(STANDARD_KEY, MINIMAL);
        let request_id = answer.header("x-request-id");
        server.eventually_says(request_id);
        let said = server.said();
        let line = said.lines().find(|line| line.contains(request_id)).unwrap();
        let parsed = serde_json::from_str::<Value>(line);
        assert_eq!(parsed.is_ok(), json, "{format:?}: {line}");
    }
}

#[test]
fn options_that_other_programs_know_are_named_with_what_to_do() {
    for (variable, options, words) in [
        ("HEADCOUNT_SOURCE_URL", "schema=public", ["schema", "public.users"]),
        ("HEADCOUNT_SOURCE_URL", "sslmode=require&pgbouncer=true", ["pgbouncer", "take it out"]),
        ("HEADCOUNT_SOURCE_URL", "connection_limit=1", ["connection_limit", "source.parallelism"]),
        ("HEADCOUNT_SOURCE_URL", "sslcert=client.crt&sslkey=client.key", ["sslcert", "password"]),
        ("HEADCOUNT_SOURCE_URL", "speed=high", ["speed", "connect_timeout"]),
        ("HEADCOUNT_STORE_URL", "schema=headcount", ["schema", "search_path"]),
        ("HEADCOUNT_STORE_URL", "pgbouncer=true", ["pgbouncer", "connect directly"]),
        ("HEADCOUNT_STORE_URL", "connection_limit=5", ["connection_limit", "take it out"]),
        ("HEADCOUNT_STORE_URL", "channel_binding=require", ["channel_binding", "sslmode=verify-full"]),
        ("HEADCOUNT_STORE_URL", "speed=high", ["not known: speed", "application_name"]),
        ("HEADCOUNT_STORE_URL", "port=hush-hush", ["option port ", "a number"]),
        ("HEADCOUNT_SOURCE_URL", "target_session_attrs=hush-hush", ["target_session_attrs", "read-write"]),
        ("HEADCOUNT_SOURCE_URL", "connect_timeout=hush-hush", ["option connect_timeout ", "seconds"]),
        ("HEADCOUNT_SOURCE_URL", "keepalives=hush-hush", ["option keepalives ", "1 or 0"]),
    ] {
        let mut site = site();
        site.set(variable, &format!("postgres://me:hush-hush@127.0.0.1:1/app?{options}"));
        for arguments in [&["check"][..], &["export", "minimal"]] {
            let finished = site.run(arguments);
            assert_refused(&finished, &[&[variable], &words[..]].concat());
            assert!(!finished.stderr.contains("hush-hush"), "{}", finished.stderr);
        }
    }
    let mut site = site();
    site.unset("HEADCOUNT_SOURCE_URL");
    site.configure("[source]\nurl = 'postgres://me:hush-hush@127.0.0.1:1/app?schema=public'\n");
    assert_refused(&site.run(&["check"]), &["headcount.toml", "source.url", "option schema"]);
    let url = "postgres://me:hush-hush@127.0.0.1:1/app?schema=public";
    let finished = site.run_exactly(&["init", url, "--yes", "--print"]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("option schema") && !finished.stderr.contains("hush-hush"),
        "{}",
        finished.stderr
    );
}
