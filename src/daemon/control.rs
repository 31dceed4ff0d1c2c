//! The control thread: signals, reloads, workers that die, the stop.
//!
//! Owns: the one loop that changes what runs. May touch: [`crate::admin`], [`crate::client`],
//! [`crate::config`], [`crate::observe`], [`crate::origin`], [`crate::snapshot`], [`crate::task`].
//! No request passes here. The stop is in `control/stop.rs`.

mod stop;

use super::{
    StartError,
    admin_socket::AdminSocket,
    expiry,
    exporting::Exporting,
    leaks, overruled,
    reload::{self, PreparedConfig, Preparing, ReloadSource, Reloading, Trigger},
    retired::retire,
    sampling,
    sharing::Sharing,
    signals::{SignalAsk, Signals},
    sweeping,
    tending::{self, Tending},
    watch::{Seen, Watch},
    worker::{self, Orders, WorkerEnd},
};
use crate::{
    admin::Reload,
    client::listener::Listener,
    config::{Config, Loaded},
    observe::logging::{self, Level},
    origin::dial::is_ours,
    snapshot::{
        Live,
        build::build,
        live::{Phase, Resources},
        reload_history::PastReload,
    },
    task,
};
use serde_json::Value;
use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

/// How long to wait after a worker could not be replaced, for example for lack of memory.
const RESTART: Duration = Duration::from_secs(1);

/// The control thread's state.
pub struct Control {
    path: PathBuf,
    live: Arc<Live>,
    resources: Arc<Resources>,
    listeners: watch::Sender<Vec<Arc<Listener>>>,
    stop: watch::Sender<bool>,
    orders: Orders,
    ended: mpsc::UnboundedReceiver<WorkerEnd>,
    tell_ended: mpsc::UnboundedSender<WorkerEnd>,
    reloads: mpsc::Receiver<Reload>,
    ask_reload: mpsc::Sender<Reload>,
    admin: Option<AdminSocket>,
    tending: Tending,
    sharing: Sharing,
    exporting: Exporting,
    watch: Watch,
    level: Level,
    reloading: Option<Reloading>,
    /// Whether a signal has asked for another reload meanwhile.
    again: bool,
    /// The thread of a reload that was given up, if the disk still blocks it.
    stuck: Option<JoinHandle<()>>,
}

/// How changed files appear in the log, as the cause of a reload.
const CHANGED: &str = "changed file";

impl Control {
    /// Binds everything, then starts the workers.
    pub async fn start(path: &Path, loaded: Loaded, level: Level) -> Result<Self, StartError> {
        let Loaded { config, warnings, .. } = loaded;
        for warning in &warnings {
            tracing::warn!("{}", warning.without_severity());
        }
        let workers = config.workers.or_else(|| thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);
        let resources = Resources::new(workers);
        let resources = resources.map_err(|error| StartError::System(io::Error::other(error)))?;
        logging::count_panics(&resources.metrics);
        let resources = Arc::new(resources);
        let bound = reload::bind(&config, &[], &resources)?;
        let snapshot = build(config, None, &resources).map_err(StartError::Build)?;
        let live = Live::new(snapshot, &resources);
        let (listeners, see_listeners) = watch::channel(Vec::new());
        let (stop, see_stop) = watch::channel(false);
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let (ask_reload, reloads) = mpsc::channel(16);
        let config = Arc::clone(&live.load().config);
        let exporting = Exporting::new(&live);
        let mut control = Self {
            path: path.to_owned(),
            live,
            resources,
            listeners,
            stop,
            orders: Orders { listeners: see_listeners, stop: see_stop },
            ended,
            tell_ended,
            reloads,
            ask_reload,
            admin: None,
            tending: Tending::default(),
            sharing: Sharing::default(),
            exporting,
            watch: Watch::new(watched(path, &config)).map_err(StartError::System)?,
            level,
            reloading: None,
            again: false,
            stuck: None,
        };
        control.admin = control.open_admin(&config)?;
        tending::resolve_new(&control.live.load().groups).await;
        control.tending.update(&control.live.load().groups);
        control.sharing.update(&control.live.load().caches);
        control.exporting.update(control.live.load().export.as_ref());
        reload::adjust(&config, &bound);
        control.publish(bound);
        for index in 0..workers {
            control.start_worker(index).map_err(StartError::System)?;
        }
        control.live.metrics.generation.set(1);
        control.live.metrics.reload_successful.set(1);
        control.live.reloads.add(PastReload::new("start", Ok(1), Vec::new()));
        Ok(control)
    }

    /// Serves until told to stop.
    pub async fn serve(mut self, mut signals: Signals) {
        self.live.set_phase(Phase::Running);
        task::spawn(expiry::watch(Arc::clone(&self.live)));
        task::spawn(sweeping::sweep(Arc::clone(&self.live)));
        task::spawn(sampling::sample(Arc::clone(&self.live)));
        task::spawn(leaks::watch(Arc::clone(&self.live)));
        let workers = self.resources.workers;
        tracing::info!(workers, config = %self.path.display(), version = env!("CARGO_PKG_VERSION"), "ready");
        loop {
            let idle = self.reloading.is_none();
            tokio::select! {
                told = signals.next() => match told {
                    SignalAsk::Stop => break,
                    SignalAsk::Reload if idle => self.begin_reload(Trigger::by("SIGHUP")),
                    SignalAsk::Reload => self.again = true,
                    SignalAsk::ReopenLogs => reopen_logs(&self.live),
                },
                () = self.watch.changed(), if idle => self.begin_reload(Trigger::by(CHANGED)),
                Some(Reload { unchanged, reply }) = self.reloads.recv(), if idle => {
                    let cause = if unchanged { "POST /servers" } else { "POST /reload" };
                    self.begin_reload(Trigger { unchanged, cause, reply: Some(reply) });
                }
                (seen, prepared) = reload::outcome(&mut self.reloading) => {
                    self.end_reload(seen, prepared).await;
                }
                Some(ended) = self.ended.recv() => self.replace(&ended),
            }
        }
        self.drain(signals).await;
    }

    /// For tests: what runs.
    #[cfg(test)]
    pub(super) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// For tests: what the workers are told.
    #[cfg(test)]
    pub(super) fn listeners(&self) -> watch::Sender<Vec<Arc<Listener>>> {
        self.listeners.clone()
    }

    fn start_worker(&self, index: usize) -> io::Result<()> {
        worker::start(index, Arc::clone(&self.live), self.orders.clone(), self.tell_ended.clone())
    }

    fn replace(&self, ended: &WorkerEnd) {
        let WorkerEnd::Died(worker) = *ended else { return };
        self.live.metrics.worker_restarts.inc();
        tracing::error!(worker, "a worker died; another takes its place and its sockets");
        if let Err(error) = self.start_worker(worker) {
            tracing::error!(worker, %error, "the worker can't be replaced; another try in a second");
            let tell = self.tell_ended.clone();
            task::spawn(async move {
                sleep(RESTART).await;
                // When the process ends, workers are no longer replaced.
                let _ = tell.send(WorkerEnd::Died(worker));
            });
        }
    }

    /// Tells the workers which listeners to accept on, and drains the others.
    fn publish(&mut self, wanted: Vec<Arc<Listener>>) {
        let before = self.listeners.borrow().clone();
        for listener in wanted.iter().filter(|it| !is_among(&before, it)) {
            let (name, address) = (&*listener.name, &listener.address);
            match listener.listen() {
                Ok(()) => tracing::info!(listener = name, %address, "listening"),
                Err(error) => tracing::error!(listener = name, %address, %error, "can't listen"),
            }
        }
        let gone = before.iter().filter(|it| !is_among(&wanted, it)).cloned().collect::<Vec<_>>();
        self.listeners.send_replace(wanted);
        for listener in gone {
            tracing::info!(listener = &*listener.name, address = %listener.address, "draining");
            listener.drain();
        }
    }

    fn open_admin(&self, config: &Config) -> Result<Option<AdminSocket>, StartError> {
        AdminSocket::open(&config.admin, &self.live, &self.ask_reload)
    }

    /// Loads the config again. Requests under way keep the old one, later ones get the new one. A
    /// config with a mistake changes nothing.
    fn begin_reload(&mut self, asked: Trigger) {
        self.stuck = self.stuck.take().filter(|thread| !thread.is_finished());
        let previous = self.live.load();
        let source = ReloadSource {
            path: self.path.clone(),
            unchanged: asked.unchanged,
            files: watched(&self.path, &previous.config),
            previous,
            current: self.listeners.borrow().clone(),
            resources: Arc::clone(&self.resources),
        };
        let begun = match &self.stuck {
            // One blocked thread is enough.
            Some(_) => Err(reload::hangs()),
            None => Preparing::begin(source).map_err(StartError::System),
        };
        match begun {
            Ok(preparing) => self.reloading = Some(Reloading { asked, preparing }),
            Err(error) => self.tell_of_reload(asked, None, Err(error)),
        }
    }

    async fn end_reload(
        &mut self,
        seen: Option<Seen>,
        prepared: Result<PreparedConfig, StartError>,
    ) {
        let Some(Reloading { asked, preparing }) = self.reloading.take() else { return };
        self.stuck = preparing.stuck();
        let outcome = match prepared {
            Ok(mut prepared) => {
                let changes = std::mem::take(&mut prepared.changes);
                self.adopt(prepared).await.map(|generation| (generation, changes))
            }
            Err(error) => Err(error),
        };
        self.tell_of_reload(asked, seen, outcome);
        if std::mem::take(&mut self.again) {
            self.begin_reload(Trigger::by("SIGHUP"));
        }
    }

    fn tell_of_reload(
        &mut self,
        Trigger { unchanged, cause, reply }: Trigger,
        seen: Option<Seen>,
        outcome: Result<(u64, Vec<Value>), StartError>,
    ) {
        if !unchanged {
            let config = Arc::clone(&self.live.load().config);
            self.watch.set(watched(&self.path, &config), seen);
        }
        let metrics = &self.live.metrics;
        match &outcome {
            // The admin address tells of it, and answers with the error.
            _ if unchanged => {}
            Err(StartError::System(error)) if cause == CHANGED && is_ours(error) => {
                tracing::warn!(%error, "a file has changed, but can't be loaded now; another try follows");
            }
            Ok((generation, _)) => {
                metrics.reloads.with_label_values(&["success"]).inc();
                metrics.generation.set(*generation as i64);
                metrics.reload_successful.set(1);
                tracing::info!(cause, generation, "reloaded");
                overruled::tell(&self.live.load());
            }
            Err(error) => {
                metrics.reloads.with_label_values(&["failure"]).inc();
                metrics.reload_successful.set(0);
                // The details are part of the message: a field would come after their last line.
                tracing::error!(
                    "not reloaded ({cause}), the previous config stays in use:\n{error}"
                );
            }
        }
        let (outcome, changes) = match outcome {
            Ok((generation, changes)) => (Ok(generation), changes),
            Err(error) => (Err(error.to_json()), Vec::new()),
        };
        self.live.reloads.add(PastReload::new(cause, outcome.clone(), changes));
        if let Some(reply) = reply {
            // The side that asked may be gone.
            let _ = reply.send(outcome);
        }
    }

    /// Takes a config into use.
    async fn adopt(&mut self, prepared: PreparedConfig) -> Result<u64, StartError> {
        let PreparedConfig { snapshot, listeners, warnings, .. } = prepared;
        let config = Arc::clone(&snapshot.config);
        if self.admin.as_ref().map(|it| &it.wanted) != config.admin.address.as_ref() {
            // The failed build may have added series to the metrics.
            let forget = |_: &_| reload::forget(&self.live, &snapshot, &self.live.load());
            self.admin = self.open_admin(&config).inspect_err(forget)?;
        }
        for warning in &warnings {
            tracing::warn!("{}", warning.without_severity());
        }
        let wanted = config.workers.map(NonZeroUsize::get);
        if wanted.is_some_and(|wanted| wanted != self.resources.workers) {
            tracing::warn!("`workers` takes effect at the next start");
        }
        tending::resolve_new(&snapshot.groups).await;
        self.tending.update(&snapshot.groups);
        self.sharing.update(&snapshot.caches);
        self.exporting.update(snapshot.export.as_ref());
        let generation = snapshot.generation;
        // Connections of listeners that end keep the last snapshot that has their listener.
        let old = self.live.load();
        for listener in self.listeners.borrow().iter() {
            // Another listener may take over its name, and end before this one's last client.
            if !is_among(&listeners, listener) {
                listener.last.store(Some(Arc::clone(&old)));
            }
        }
        self.live.store(snapshot);
        reload::adjust(&config, &listeners);
        self.publish(listeners);
        reload::forget(&self.live, &old, &self.live.load());
        retire(old);
        self.level.set(&config.log.level);
        Ok(generation)
    }
}

fn is_among(all: &[Arc<Listener>], it: &Arc<Listener>) -> bool {
    all.iter().any(|other| Arc::ptr_eq(other, it))
}

fn reopen_logs(live: &Live) {
    for log in live.load().access_logs.writers() {
        tracing::info!("reopening the access log");
        log.reopen();
    }
}

fn watched(path: &Path, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(config.watched.iter().cloned());
    files
}
