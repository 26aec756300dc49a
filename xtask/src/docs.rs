//! Documents that are made from code, so that they cannot tell another story.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use salvor_core::{Denial, FactName, Limits, SagaKind, Why, guards};
use salvor_proto::error::Code;

const HEAD: &str = "<!-- Made by `cargo run -p xtask -- docs`. -->\n\n";

/// Writes the documents, or says which of them differ from what would be written.
pub(crate) fn run(root: &Path, check: bool) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (name, text) in [("docs/guards.md", guards()?), ("docs/error-codes.md", codes()?)] {
        let path = root.join(name);
        if !check {
            fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            complaints.push(format!("{name} is out of date: cargo run -p xtask -- docs"));
        }
    }
    Ok(complaints)
}

fn guards() -> Result<String> {
    let limits = Limits::default();
    let mut text = String::from(HEAD);
    writeln!(text, "# Guards\n")?;
    writeln!(
        text,
        "A guard is an affirmative claim over evidence that must hold before a recovery touches \
         anything. All guards of a path are evaluated, so that every reason for a refusal is seen at \
         once. A fact that is unknown, or older than {} s, refuses before a guard looks at its value.\n",
        limits.max_evidence_age.as_secs()
    )?;
    for saga in SagaKind::ALL {
        writeln!(text, "## {}\n", saga.as_str())?;
        writeln!(text, "| guard | claim | facts | refuses with |\n|---|---|---|---|")?;
        for row in guards::table(saga) {
            let facts: Vec<_> = row.facts.iter().map(|fact| fact.as_str()).collect();
            let reasons: Vec<_> = row.reasons.iter().map(|reason| format!("`{reason}`")).collect();
            let reasons = if reasons.is_empty() { "—".to_owned() } else { reasons.join(", ") };
            writeln!(text, "| `{}` | {} | {} | {reasons} |", row.id, row.claim, facts.join(", "))?;
        }
        writeln!(text)?;
    }
    writeln!(text, "## Unknown facts\n")?;
    writeln!(text, "Any guard can refuse with one of these, which are never a loss:\n")?;
    writeln!(text, "| reason | what is the case | what would make it known |\n|---|---|---|")?;
    let mut seen = BTreeSet::new();
    for fact in [FactName::LiveView, FactName::Record] {
        for why in Why::ALL {
            let reason = Denial::Unknown { fact, why }.reason();
            if seen.insert(reason) {
                let (sentence, remedy) = match fact {
                    FactName::Record => ("the registry did not say", "ask again"),
                    _ => (why.sentence(), why.remedy()),
                };
                writeln!(text, "| `{reason}` | {sentence} | {remedy} |")?;
            }
        }
    }
    writeln!(text, "| `EVIDENCE_TOO_OLD` | a fact was seen too long ago | ask again |")?;
    Ok(text)
}

fn codes() -> Result<String> {
    const CODES: [(Code, &str, &str); 16] = [
        (Code::Invalid, "the request is malformed; `BadRequest` names the field", "correct it"),
        (Code::NotFound, "the named thing does not exist", "check the name"),
        (Code::AlreadyExists, "the name is taken", "use another, or update what is there"),
        (
            Code::Refused,
            "a guard or precondition says no; one violation per denial",
            "change the state",
        ),
        (Code::Undetermined, "it could not be determined; nothing was touched", "ask again later"),
        (Code::Conflict, "what the caller knew is stale", "read again, then retry"),
        (Code::Busy, "somebody else is at work; the metadata names the holder", "wait for it"),
        (Code::Unavailable, "a part of salvor is away", "retry with backoff"),
        (Code::DeadlineExceeded, "no answer in time", "retry with backoff"),
        (Code::Unauthenticated, "the caller is not known", "present a certificate"),
        (Code::Denied, "the caller may not", "use another role"),
        (Code::Exhausted, "a limit of size, rate or space", "ask for less, or make room"),
        (Code::OutOfRange, "a position that is no longer held", "begin again"),
        (Code::Cancelled, "the caller went away", "nothing"),
        (Code::DataLoss, "stored data is damaged", "call an operator"),
        (Code::Internal, "a defect of salvor's", "report it"),
    ];
    let mut text = String::from(HEAD);
    writeln!(text, "# Error codes\n")?;
    writeln!(text, "| kind | gRPC code | what happened | what to do |\n|---|---|---|---|")?;
    for (code, what, then) in CODES {
        writeln!(text, "| {code:?} | {:?} | {what} | {then} |", code.grpc())?;
    }
    Ok(text)
}
