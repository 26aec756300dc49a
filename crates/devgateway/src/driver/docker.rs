//! Each sandbox in a container of its own, named and labelled as the vendor's Docker driver does it.
//!
//! It works through the `docker` command, whose `exec` and `wait` are ordinary child processes with ordinary streams. What
//! exists and runs is remembered here and kept up to date from the runtime's events, so it is known without asking.
//! Containers of other gateways on the same daemon bear another namespace and are not seen.
//!
//! Deliberately absent: images by name (every sandbox runs the configured one) and networks (there is none in a sandbox).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Blueprint, silent};
use crate::config::DockerDriver;
use crate::world::lock;

/// The workspace's path in a container.
pub(super) const WORKSPACE: &str = "/sandbox";
const MANAGED_BY: &str = "openshell.ai/managed-by";
const ID: &str = "openshell.ai/sandbox-id";
const NAME: &str = "openshell.ai/sandbox-name";
const NAMESPACE: &str = "openshell.ai/sandbox-namespace";
const IN_WORKSPACE: &str = "openshell.ai/sandbox-workspace";
/// The events that matter.
const EVENTS: [&str; 6] = ["create", "start", "die", "destroy", "pause", "unpause"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Docker {
    settings: DockerDriver,
    namespace: String,
    /// By sandbox id.
    known: Mutex<HashMap<String, Known>>,
}

/// One container.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The runtime's id.
    container: String,
    /// Its main process, while it runs.
    process: Option<i32>,
}

/// What happened to a container that this gateway did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It was removed. The sandbox's id.
    Removed(String),
    /// It was paused. The sandbox's id.
    Paused(String),
}

/// One line of `docker events`.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: HashMap<String, String>,
}

// === impl Docker ===

impl Docker {
    /// Finds the containers that an earlier gateway on this data directory has left.
    pub(super) async fn open(settings: DockerDriver, data_dir: &Path) -> io::Result<Arc<Self>> {
        let namespace = namespace(data_dir)?;
        let docker = Arc::new(Self { settings, namespace, known: Mutex::default() });
        docker.run(&["image", "inspect", &docker.settings.image]).await.map_err(|error| {
            let image = &docker.settings.image;
            io::Error::other(format!("the image {image} cannot be used: {error}"))
        })?;
        docker.look().await?;
        Ok(docker)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        lock(&self.known).keys().cloned().collect()
    }

    pub(super) fn has(&self, id: &str) -> bool {
        lock(&self.known).contains_key(id)
    }

    pub(super) fn main_process(&self, id: &str) -> Option<i32> {
        lock(&self.known).get(id)?.process
    }

    /// Makes the container if there is none, starts it, and hands out a client that waits for its end.
    pub(super) async fn launch(&self, id: &str, blueprint: Blueprint<'_>) -> io::Result<Child> {
        let container = match self.container(id) {
            Some(container) => container,
            None => self.create(id, blueprint).await?,
        };
        self.run(&["start", &container]).await?;
        let process = self.run(&["inspect", "-f", "{{.State.Pid}}", &container]).await?;
        if let Some(known) = lock(&self.known).get_mut(id) {
            known.process = process.parse().ok().filter(|process| *process > 0);
        }
        let mut waiting = self.client();
        waiting.args(["wait", &container]).stdin(Stdio::null()).stderr(Stdio::null());
        waiting.stdout(Stdio::piped()).kill_on_drop(true).spawn()
    }

    /// As the vendor's driver makes it. Its input stays open and silent, as a terminal nobody types in.
    async fn create(&self, id: &str, blueprint: Blueprint<'_>) -> io::Result<String> {
        let Blueprint { name, workspace, command, env } = blueprint;
        let named = format!("openshell-{workspace}--{name}-{id}");
        let mut words: Vec<String> =
            ["create", "--init", "--interactive", "--network=none", "--name"]
                .map(str::to_owned)
                .into();
        words.push(named);
        for (key, value) in [
            (MANAGED_BY, "openshell"),
            (ID, id),
            (NAME, name),
            (NAMESPACE, &self.namespace),
            (IN_WORKSPACE, workspace),
        ] {
            words.extend(["--label".to_owned(), format!("{key}={value}")]);
        }
        for (key, value) in env {
            words.extend(["--env".to_owned(), format!("{key}={value}")]);
        }
        words.push(self.settings.image.clone());
        words.extend_from_slice(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let container = self.run(&words).await?;
        let known = Known { container: container.clone(), process: None };
        lock(&self.known).insert(id.to_owned(), known);
        Ok(container)
    }

    pub(super) async fn remove(&self, id: &str) -> io::Result<()> {
        // Forgotten first: what its end looks like from outside is of no interest.
        let Some(known) = lock(&self.known).remove(id) else { return Ok(()) };
        match self.run(&["rm", "--force", "--volumes", &known.container]).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A command in the container. Ending the client leaves the command running.
    pub(super) fn exec(&self, id: &str, program: &str, env: &BTreeMap<String, String>) -> Command {
        let mut command = self.client();
        command.args(["exec", "--interactive", "--workdir", WORKSPACE]);
        for (key, value) in env {
            command.arg("--env").arg(format!("{key}={value}"));
        }
        command.args(["--env", "SHELL=/bin/bash", "--env", "OPENSHELL_SANDBOX=1", "--env"]);
        command.arg(format!("OPENSHELL_SANDBOX_ID={id}"));
        // A container that is gone is nobody's name.
        command.arg(self.container(id).unwrap_or_else(|| id.to_owned())).arg(program);
        command.process_group(0).stdin(Stdio::piped());
        command
    }

    pub(super) async fn end_all(&self, ids: &[String], grace: Option<Duration>) {
        let seconds = grace.map(|grace| grace.as_secs_f64().ceil().to_string());
        for id in ids {
            let Some(container) = self.container(id) else { continue };
            let ended = match &seconds {
                Some(seconds) => self.run(&["stop", "--time", seconds, &container]).await,
                None => self.run(&["kill", &container]).await,
            };
            // One that does not run cannot be killed, and need not be.
            if let Err(error) = ended {
                tracing::debug!(%error, id, "a container was not ended");
            }
            if let Some(known) = lock(&self.known).get_mut(id) {
                known.process = None;
            }
        }
    }

    pub(super) async fn pause(&self, id: &str) {
        self.attempt("pause", id).await;
    }

    pub(super) async fn unpause(&self, id: &str) {
        self.attempt("unpause", id).await;
    }

    async fn attempt(&self, what: &str, id: &str) {
        let Some(container) = self.container(id) else { return };
        if let Err(error) = self.run(&[what, &container]).await {
            tracing::warn!(%error, id, what, "a container does not obey");
        }
    }

    pub(super) async fn close(&self) {
        if self.settings.keep {
            return;
        }
        for id in self.ids() {
            if let Err(error) = self.remove(&id).await {
                tracing::warn!(%error, id, "a container is left behind");
            }
        }
    }

    pub(super) fn end_everything_now(&self) {
        let verb: &[&str] =
            if self.settings.keep { &["kill"] } else { &["rm", "--force", "--volumes"] };
        let containers: Vec<String> =
            lock(&self.known).values().map(|known| known.container.clone()).collect();
        if containers.is_empty() {
            return;
        }
        let mut command = std::process::Command::new("docker");
        command.args(["--host", &self.host()]).args(verb).args(containers);
        // There is nobody left to tell.
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Follows the runtime's events until nobody listens. Begun anew when the runtime was away.
    pub(crate) async fn follow(self: Arc<Self>, happened: mpsc::Sender<Happened>) {
        loop {
            if let Err(error) = self.listen(&happened).await {
                tracing::warn!(%error, "the container runtime's events cannot be read");
            }
            if happened.is_closed() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            for id in self.look().await.unwrap_or_default() {
                // Nobody listening is the end of the next round.
                let _ = happened.send(Happened::Removed(id)).await;
            }
        }
    }

    async fn listen(&self, happened: &mpsc::Sender<Happened>) -> io::Result<()> {
        let mut command = self.client();
        command.args(["events", "--format", "{{json .}}", "--filter", "type=container"]);
        command.args(["--filter", &format!("label={NAMESPACE}={}", self.namespace)]);
        for event in EVENTS {
            command.args(["--filter", &format!("event={event}")]);
        }
        silent(&mut command).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let Some(stdout) = child.stdout.take() else { return Ok(()) };
        let mut lines = BufReader::new(stdout).lines();
        loop {
            let line = tokio::select! {
                () = happened.closed() => return Ok(()),
                line = lines.next_line() => line?,
            };
            let Some(line) = line else { return Ok(()) };
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            if let Some(news) = self.learn(&line)
                && happened.send(news).await.is_err()
            {
                return Ok(());
            }
        }
    }

    /// Takes one event in; what it means for a row, if anything.
    fn learn(&self, line: &Line) -> Option<Happened> {
        let id = line.actor.attributes.get(ID)?;
        let mut known = lock(&self.known);
        let of_it = known.get_mut(id).filter(|known| known.container == line.actor.id)?;
        match line.action.as_str() {
            "die" => of_it.process = None,
            "pause" => return Some(Happened::Paused(id.clone())),
            "destroy" => {
                known.remove(id);
                return Some(Happened::Removed(id.clone()));
            }
            _ => {}
        }
        None
    }

    /// Looks at what there is. The ids of those that are gone since the last look.
    async fn look(&self) -> io::Result<Vec<String>> {
        let filter = format!("label={NAMESPACE}={}", self.namespace);
        let format = format!("{{{{.ID}}}} {{{{.Label {ID:?}}}}}");
        let words = ["ps", "--all", "--no-trunc", "--filter", &filter, "--format", &format];
        let listed = self.run(&words).await?;
        let mut now = HashMap::new();
        for line in listed.lines() {
            if let Some((container, id)) = line.split_once(' ') {
                let process = self.main_process(id);
                let known = Known { container: container.to_owned(), process };
                now.insert(id.to_owned(), known);
            }
        }
        let mut known = lock(&self.known);
        let before = std::mem::replace(&mut *known, now);
        Ok(before.into_keys().filter(|id| !known.contains_key(id)).collect())
    }

    fn container(&self, id: &str) -> Option<String> {
        lock(&self.known).get(id).map(|known| known.container.clone())
    }

    fn host(&self) -> String {
        format!("unix://{}", self.settings.socket.display())
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host());
        command
    }

    /// Runs the client to its end. What it printed, trimmed.
    async fn run(&self, words: &[&str]) -> io::Result<String> {
        let mut command = self.client();
        let ended = command.args(words).stdin(Stdio::null()).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if ended.status.success() {
            return Ok(text(&ended.stdout));
        }
        let said = text(&ended.stderr);
        let missing = said.contains("No such container");
        let kind = if missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        Err(io::Error::new(kind, format!("docker {}: {said}", words.first().unwrap_or(&""))))
    }
}

/// Whose containers they are: minted once for a data directory.
fn namespace(data_dir: &Path) -> io::Result<String> {
    std::fs::create_dir_all(data_dir)?;
    let path = data_dir.join("docker-namespace");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let minted = format!("dev-{}", Uuid::new_v4());
            std::fs::write(&path, &minted)?;
            Ok(minted)
        }
        Err(error) => Err(error),
    }
}
