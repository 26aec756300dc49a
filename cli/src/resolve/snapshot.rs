//! From what a person types to the one snapshot that is meant: by its exact id, on a gateway that was named.

use salvor_core::name::{GatewayName, RecordName};

use super::{gateway, record};
use crate::args::OwnerArgs;
use crate::client::Clients;
use crate::exit::Failure;
use crate::next_step::NextStep;

const DIGITS: usize = 64;

/// The gateway that `--of` or `--gateway` names, if one was given.
pub(crate) async fn owner(
    clients: &Clients,
    given: &OwnerArgs,
) -> Result<Option<GatewayName>, Failure> {
    match (&given.of, &given.gateway) {
        (Some(sandbox), _) => Ok(Some(owner_of(&record(clients, sandbox).await?)?)),
        (None, Some(name)) => gateway(name).map(Some),
        (None, None) => Ok(None),
    }
}

/// The gateway of a record's full name.
pub(crate) fn owner_of(record: &str) -> Result<GatewayName, Failure> {
    let name: RecordName = record
        .parse()
        .map_err(|_| Failure::internal(format!("{record:?} is not the full name of a record")))?;
    Ok(name.owner())
}

/// The full name of the snapshot that was typed, and its gateway. `owner` is the gateway that an id alone is of.
pub(crate) fn exact(
    text: &str,
    owner: Option<&GatewayName>,
) -> Result<(String, GatewayName), Failure> {
    let (named, id) = match text.split('/').collect::<Vec<_>>()[..] {
        ["gateways", name, "snapshots", id] => (Some(gateway(name)?), id),
        [id] => (None, id),
        _ => return Err(unfit(text, "is neither gateways/GATEWAY/snapshots/ID nor an ID")),
    };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !id.bytes().all(is_digit) {
        return Err(unfit(text, "does not end with an id of 64 digits 0-9 and a-f"));
    }
    if id.len() != DIGITS {
        return Err(unfit(
            text,
            "is only a part of an id, and none is ever completed: give all 64 digits",
        ));
    }
    let owner = match (named, owner) {
        (Some(named), Some(owner)) if named != *owner => {
            let message = format!("{text} is not a snapshot of {owner}");
            return Err(Failure::usage("CONTRADICTION", message).next(NextStep::ListOfMeant.of("")));
        }
        (Some(named), _) => named,
        (None, Some(owner)) => owner.clone(),
        (None, None) => {
            let message =
                format!("{id} is the id of a snapshot, but it was not said on which gateway");
            return Err(
                Failure::usage("GATEWAY_REQUIRED", message).next(NextStep::NameSnapshot.of(""))
            );
        }
    };
    Ok((format!("{owner}/snapshots/{id}"), owner))
}

/// The full name of the snapshot of a record's gateway that was typed; empty if none was.
pub(crate) fn of_record(text: Option<&str>, record: &str) -> Result<String, Failure> {
    let Some(text) = text else { return Ok(String::new()) };
    let (name, _) = exact(text, Some(&owner_of(record)?))?;
    Ok(name)
}

fn unfit(text: &str, problem: &str) -> Failure {
    Failure::usage("BAD_SNAPSHOT_NAME", format!("{text:?} {problem}"))
        .next(NextStep::ListWide.of(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    const RECORD: &str = "gateways/lab/workspaces/w/sandboxes/s";

    fn id() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn a_full_name_says_its_gateway_and_an_id_alone_takes_the_records() {
        let full = format!("gateways/lab/snapshots/{}", id());
        assert_eq!(exact(&full, None).unwrap().0, full);
        assert_eq!(of_record(Some(&id()), RECORD).unwrap(), full);
        assert_eq!(of_record(Some(&full), RECORD).unwrap(), full);
        assert_eq!(of_record(None, RECORD).unwrap(), "");
        assert_eq!(exact(&id(), None).unwrap_err().reason, "GATEWAY_REQUIRED");
        let elsewhere = format!("gateways/edge/snapshots/{}", id());
        assert_eq!(of_record(Some(&elsewhere), RECORD).unwrap_err().reason, "CONTRADICTION");
    }

    #[test]
    fn a_prefix_is_refused_and_the_refusal_says_so() {
        for text in [&id()[..12], "gateways/lab/snapshots/01", &format!("{}0", id()), ""] {
            let failure = of_record(Some(text), RECORD).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains("give all 64 digits"), "{}", failure.message);
        }
    }

    #[test]
    fn anything_else_is_no_snapshot() {
        for text in ["latest", &id().to_uppercase(), "gateways/lab", "lab/snapshots/x", "a/b"] {
            let failure = of_record(Some(text), RECORD).unwrap_err();
            assert_eq!(failure.reason, "BAD_SNAPSHOT_NAME", "{text}");
        }
    }
}
