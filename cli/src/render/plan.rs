//! A plan: verdict, every decision, what would be done and what would be lost.

use salvor_proto::recovery::v1::{Plan, Saga, WorkspaceSource};
use salvor_proto::time::plain;

use super::{Look, Tone, clean, decision, next, status::field, time, words};

/// All of it.
pub(crate) fn plan(plan: &Plan, look: Look) -> String {
    let (tone, verdict) = words::verdict(plan.verdict());
    let mut text = field("sandbox", &look.paint(Tone::Strong, &plan.sandbox), look);
    text.push_str(&field("verdict", &look.paint(tone, verdict), look));
    text.push_str(&field("path", words::saga(plan.saga()), look));
    if plan.saga() != Saga::Unspecified {
        let (tone, said) =
            if plan.allowed { (Tone::Good, "allowed") } else { (Tone::Bad, "refused") };
        text.push_str(&field("result", &look.paint(tone, said), look));
    }
    if !plan.digest.is_empty() {
        text.push_str(&field("digest", &plan.digest, look));
    }
    if let Some(source) = &plan.source {
        text.push_str(&self::source(source, look));
    }
    if !plan.decisions.is_empty() {
        text.push_str("decisions\n");
        text.push_str(&decision::lines(&plan.decisions, look));
    }
    text.push_str(&list("steps", &plan.steps, Tone::Plain, look));
    text.push_str(&list("losses", &plan.losses, Tone::Bad, look));
    text.push_str(&list("unchecked", &plan.unchecked, Tone::Warn, look));
    if !plan.next_step.is_empty() {
        text.push_str(&next(&plan.next_step, look));
    }
    text
}

/// Where the workspace's content will come from, and what of it is not covered.
fn source(source: &WorkspaceSource, look: Look) -> String {
    let Some((tone, from)) = words::source(source.kind()) else { return String::new() };
    let mut text = field("content", &look.paint(tone, from), look);
    if !source.snapshot.is_empty() {
        let read = look.ago(source.snapshot_time.as_ref());
        text.push_str(&field(
            "snapshot",
            &format!("{}, read {read}", clean(&source.snapshot)),
            look,
        ));
    }
    for (label, paths) in [("covered", &source.covered), ("excluded", &source.excluded)] {
        if !paths.is_empty() {
            text.push_str(&field(label, &clean(&paths.join(", ")), look));
        }
    }
    let at_risk = match &source.at_risk {
        Some(at_risk) => time::span(plain(at_risk)),
        None => "all of it: no complete snapshot is known".to_owned(),
    };
    text.push_str(&field("at risk", &at_risk, look));
    text
}

fn list(title: &str, items: &[String], tone: Tone, look: Look) -> String {
    if items.is_empty() {
        return String::new();
    }
    let lines = items.iter().map(|item| format!("  - {}\n", look.paint(tone, &clean(item))));
    format!("{title}\n{}", lines.collect::<String>())
}
