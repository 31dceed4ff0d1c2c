//! The daemon under test, as a child process with a directory of its own.

use super::{PATIENCE, client, eventually, log_book::LogBook, metrics::Metrics, until};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running daemon; dropping it kills it, and prints its log when the test has failed.
pub struct Daemon {
    child: Child,
    dir: TempDir,
    pub log: LogBook,
    pub stdout: LogBook,
}

/// `sheave` with arguments, in a directory.
pub fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sheave"));
    prepare(&mut command, dir, arguments);
    command
}

fn prepare<'a>(command: &'a mut Command, dir: &Path, arguments: &[&str]) -> &'a mut Command {
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Runs `sheave` until it ends, and fails if it does not.
pub fn run_to_end(dir: &Path, arguments: &[&str]) -> Output {
    let mut child = command(dir, arguments).spawn().expect("the daemon's binary runs");
    wait(&mut child, PATIENCE).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("sheave {arguments:?} did not end");
    });
    child.wait_with_output().expect("its output")
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait().expect("a child of ours") {
            Some(status) => return Some(status),
            None if Instant::now() > deadline => return None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl Daemon {
    pub fn start(config: &super::Config) -> Self {
        Self::start_text(&config.text())
    }

    pub fn start_text(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), config)
    }

    /// Starts in a directory that may hold certificates and files already, and waits until it is
    /// ready.
    pub fn start_in(dir: TempDir, config: &str) -> Self {
        Self::launch_in(dir, config).until_ready()
    }

    fn until_ready(mut self) -> Self {
        let deadline = Instant::now() + PATIENCE;
        while self.log.find_message("ready", &[]).is_none() {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("the daemon ended with {status} instead of being ready");
            }
            assert!(Instant::now() < deadline, "the daemon did not become ready");
            thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Starts with a limit of the system's, as `prlimit` takes it.
    pub fn start_limited(config: &super::Config, limit: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut limited = Command::new("prlimit");
        limited.args([limit, env!("CARGO_BIN_EXE_sheave")]);
        Self::launch(limited, dir, &config.text()).until_ready()
    }

    /// Starts with an allocator that gives free memory back at once, page by page: so all memory of
    /// the process is in use.
    pub fn start_frugal(dir: TempDir, config: &str) -> Self {
        let mut frugal = Command::new(env!("CARGO_BIN_EXE_sheave"));
        frugal.env("MIMALLOC_ALLOW_THP", "0").env("MIMALLOC_PURGE_DELAY", "0");
        Self::launch(frugal, dir, config).until_ready()
    }

    /// Starts with a variable in its environment.
    pub fn start_with(dir: TempDir, config: &str, (name, value): (&str, &Path)) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sheave"));
        program.env(name, value);
        Self::launch(program, dir, config).until_ready()
    }

    /// Starts, and does not wait.
    pub fn launch_in(dir: TempDir, config: &str) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_sheave")), dir, config)
    }

    fn launch(mut program: Command, dir: TempDir, config: &str) -> Self {
        fs::write(dir.path().join("sheave.toml"), config).expect("writing the config");
        let path = dir.path().join("sheave.toml").display().to_string();
        let command = prepare(&mut program, dir.path(), &["run", "--config", &path]);
        let mut child = command.spawn().expect("the daemon's binary");
        let log = LogBook::reading(child.stderr.take().expect("piped"));
        let stdout = LogBook::reading(child.stdout.take().expect("piped"));
        Self { child, dir, log, stdout }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a listener is bound, once the log says so: it comes through a pipe.
    pub fn address(&self, listener: &str) -> SocketAddr {
        eventually(&format!("listener {listener} to listen"), || self.find_address(listener))
    }

    pub fn find_address(&self, listener: &str) -> Option<SocketAddr> {
        let told = self.log.find_message("listening", &[("listener", listener)])?;
        told["address"].as_str()?.parse().ok()
    }

    /// The listener of [`super::Config`].
    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    pub fn admin(&self) -> SocketAddr {
        let told = eventually("an admin address", || self.log.find_message("admin listening", &[]));
        told["address"].as_str().and_then(|a| a.parse().ok()).expect("an address")
    }

    /// `GET` on the admin address: status and JSON.
    pub fn admin_json(&self, path: &str) -> (u16, Value) {
        let response = client::get(self.admin(), path);
        (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::new(client::get(self.admin(), "/metrics").text())
    }

    /// The sum of the series of a name that have these labels; 0 when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels).unwrap_or(0.0)
    }

    /// A counter or gauge as a whole number.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.metric(name, labels).round() as u64
    }

    /// How many requests were rejected for a reason.
    pub fn rejected(&self, reason: &str) -> u64 {
        self.count("sheave_requests_rejected_total", &[("reason", reason)])
    }

    /// What `/upstreams` says about one server of any upstream.
    pub fn server_state(&self, address: &str) -> Value {
        let (status, document) = self.admin_json("/upstreams");
        assert_eq!(status, 200, "/upstreams");
        find_server(&document, address)
            .unwrap_or_else(|| panic!("no {address} in {document}"))
            .clone()
    }

    /// A server's state in `/upstreams`, such as `up`.
    pub fn state_name(&self, address: &str) -> String {
        self.server_state(address)["state"].as_str().expect("a state").to_owned()
    }

    /// Replaces the config in one step, as a careful editor does.
    pub fn rewrite_config(&self, text: &str) {
        let new = self.path(".sheave.toml.new");
        fs::write(&new, text).expect("writing the config");
        fs::rename(new, self.path("sheave.toml")).expect("renaming the config");
    }

    /// `POST /reload`.
    pub fn reload(&self) -> super::Response {
        client::ask(self.admin(), &client::request("POST", "/reload", "Content-Length: 0\r\n", ""))
    }

    /// A new config, in force when this returns.
    pub fn reconfigure(&self, config: &super::Config) {
        self.rewrite_config(&config.text());
        let answer = self.reload();
        assert_eq!(answer.status, 200, "reload: {}", answer.text());
    }

    /// The access log so far; empty before the first line.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("access.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for an access log line.
    pub fn wait_for_access(&self, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        super::eventually(&format!("access log line: {what}"), || {
            self.access_log().into_iter().find(|line| check(line))
        })
    }

    /// Waits for an access log line with this `reason`.
    pub fn wait_for_reason(&self, reason: &str) -> Value {
        self.wait_for_access(&format!("reason {reason}"), |line| line["reason"] == reason)
    }

    /// Memory that the process has for itself, in KiB.
    pub fn anonymous_memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let told = fs::read_to_string(path).expect("the daemon runs");
        let line = told.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a number");
        kib.parse().expect("a number")
    }

    /// Sends a signal by name, such as `TERM`; the shell has one everywhere.
    pub fn signal(&self, name: &str) {
        self.shell(&format!("kill -{name} $0"));
    }

    /// Runs a command that knows the daemon's process id as `$0`.
    pub fn shell(&self, command: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", command, &id]).status();
        assert!(status.expect("a shell").success(), "{command}");
    }

    /// Whether a file descriptor of this number is open.
    pub fn has_descriptor(&self, number: u32) -> bool {
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.child.id())).is_ok()
    }

    /// How often a thread has been woken, by its name.
    pub fn wakes_of(&self, thread: &str) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let named = |path: &PathBuf| read(path.join("comm")).trim() == thread;
        let found = tasks.map(|task| task.expect("a thread").path()).find(named);
        let status = read(found.expect("a thread of that name").join("status"));
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("a count")
    }

    /// The exit code, once it has ended; `None` for a signal.
    pub fn wait_exit(&mut self) -> Option<i32> {
        wait(&mut self.child, PATIENCE * 2).expect("the daemon ends").code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits until a metric has this value.
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        until(&format!("{name}{labels:?} = {value}"), || self.count(name, labels) == value);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the daemon's last log lines\n{}\n---", self.log.tail(60));
        }
    }
}

/// The object whose `address` (or `server`) is this one.
fn find_server<'a>(document: &'a Value, address: &str) -> Option<&'a Value> {
    match document {
        Value::Object(map) => {
            let here = ["address", "server"].iter().any(|key| document[*key] == *address);
            if here && map.contains_key("state") {
                return Some(document);
            }
            map.values().find_map(|v| find_server(v, address))
        }
        Value::Array(list) => list.iter().find_map(|v| find_server(v, address)),
        _ => None,
    }
}
