//! The second act: a file is written, a snapshot taken, the sandbox lost, and the file is there again.

use salvor_proto::gateway::v1::{GetSnapshotRequest, Snapshot};
use salvor_proto::recovery::v1::{SnapshotSandboxRequest, part::Outcome};
use salvor_proto::time::duration;
use uuid::Uuid;

use super::{Act, NAME, PATIENCE, RECORD, Story, stuck, wrong};
use crate::args::{ConfigArgs, RulesArgs, SetRulesArgs, Target};
use crate::client::within;
use crate::commands::snapshot::rules;
use crate::exit::Failure;
use crate::progress::follow;
use crate::render::{self, snapshot::Listed};
use crate::resolve;

const ROOT: &str = "/sandbox";
const FILE: &str = "/sandbox/notes.txt";

// === impl Story ===

impl Story<'_> {
    /// The act, and the snapshot that it is about. `live_id` is the incarnation of the first act's end.
    pub(super) async fn second_act(&self, live_id: String) -> Result<(Act, String), Failure> {
        self.act("second act: the user writes a file, and salvor takes a snapshot");
        let written = format!("remember {}", Uuid::new_v4());
        self.write(&live_id, &written).await?;
        self.declare().await?;
        let snapshot = self.snapshot().await?;
        self.act("the container is removed once more, and the file with it");
        let mut act = self.lose_and_recover(live_id).await?;
        self.act("the user reads the file");
        let found = self.read(&act.live_id).await?;
        self.say(format!("{FILE}: {found}"));
        let result = act.recovery.result.clone().unwrap_or_default();
        let data = result.data.unwrap_or_default();
        act.problems.extend(wrong([
            (found == written, "the file is not what was written"),
            (result.snapshot_restored == snapshot, "another snapshot was restored, or none"),
            (data.outcome() == Outcome::Proven, "the files were not compared with the snapshot"),
        ]));
        Ok((act, snapshot))
    }

    async fn write(&self, id: &str, text: &str) -> Result<(), Failure> {
        let script = "printf %s \"$1\" > \"$2\"";
        let done = self.user.exec(NAME, id, &["sh", "-c", script, "sh", text, FILE]).await?;
        if done.exit != Some(0) {
            return Err(stuck("the file could not be written"));
        }
        self.say(format!("{FILE}: {text}"));
        Ok(())
    }

    /// What the user sees; nothing if there is no such file.
    async fn read(&self, id: &str) -> Result<String, Failure> {
        let shown = self.user.exec(NAME, id, &["cat", FILE]).await?;
        Ok(String::from_utf8_lossy(&shown.stdout).into_owned())
    }

    async fn declare(&self) -> Result<(), Failure> {
        self.command("snapshot rules", &format!("{NAME} --snapshot-root {ROOT}"));
        let record = rules::record(&self.clients, RECORD.to_owned()).await?;
        let args = SetRulesArgs {
            target: Target { name: Some(RECORD.to_owned()) },
            clear: Vec::new(),
            validate_only: false,
            rules: RulesArgs { snapshot_root: vec![ROOT.to_owned()], ..RulesArgs::default() },
            config: ConfigArgs::default(),
        };
        let record = rules::store(&self.clients, record, args).await?;
        self.show(&render::snapshot::rules(&record, self.look()));
        Ok(())
    }

    /// Takes one; answers its exact name.
    async fn snapshot(&self) -> Result<String, Failure> {
        self.command("snapshot create", NAME);
        let request = SnapshotSandboxRequest {
            name: RECORD.to_owned(),
            settle_timeout: Some(duration(PATIENCE)),
            ..SnapshotSandboxRequest::default()
        };
        let request = within(PATIENCE, request);
        let answer = self.clients.recovery()?.snapshot_sandbox(request).await?.into_inner();
        let started = answer.recovery.ok_or_else(|| stuck("no snapshot was begun"))?;
        let ended = follow(&self.clients, &started.name, PATIENCE, |_| Ok(())).await?;
        self.show(&render::recovery::whole(&ended, self.look()));
        let taken = ended.result.map(|result| result.snapshot_taken).unwrap_or_default();
        if taken.is_empty() {
            return Err(stuck("no snapshot was taken"));
        }
        self.command("snapshot list", NAME);
        let snapshot = self.taken(&taken).await?;
        let listed = Listed { with_sandbox: false, with_issue: false, wide: false };
        self.show(&render::snapshot::list(&[snapshot], listed, self.look()));
        Ok(taken)
    }

    async fn taken(&self, name: &str) -> Result<Snapshot, Failure> {
        let gateway = resolve::snapshot::owner_of(RECORD)?;
        let mut adapter = self.clients.adapter_of(&gateway).await?;
        let request = GetSnapshotRequest { name: name.to_owned() };
        let answer = adapter.get_snapshot(request).await?.into_inner();
        answer.snapshot.ok_or_else(|| stuck("the snapshot that was taken is not there"))
    }
}
