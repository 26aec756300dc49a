//! A plan: verdict, every decision, what would be done and what would be lost.

use salvor_proto::recovery::v1::{Plan, Saga};

use super::{Look, Tone, clean, decision, next, status::field, words};

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

fn list(title: &str, items: &[String], tone: Tone, look: Look) -> String {
    if items.is_empty() {
        return String::new();
    }
    let lines = items.iter().map(|item| format!("  - {}\n", look.paint(tone, &clean(item))));
    format!("{title}\n{}", lines.collect::<String>())
}
