//! The rules that must hold whatever happened. Each is a function of the history alone, and says what breaks it.

mod deeds;
mod records;
mod recoveries;
#[cfg(test)]
mod tests;

use crate::history::History;

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What breaks it in a history.
    pub complaints: fn(&History) -> Vec<String>,
}

/// All rules.
pub(crate) const ALL: [Check; 12] = [
    Check { name: "every recovery ends", complaints: recoveries::end },
    Check { name: "a recovery is what its journal says", complaints: recoveries::fold },
    Check { name: "only what a plan names is deleted", complaints: deeds::deletes },
    Check { name: "only what a plan names is started", complaints: deeds::starts },
    Check { name: "every create is stamped, and known", complaints: deeds::creates },
    Check { name: "no two of a record's sandboxes run", complaints: deeds::doubles },
    Check { name: "only the pinned gateway is touched", complaints: deeds::gateway },
    Check { name: "fence tokens never fall", complaints: deeds::fences },
    Check { name: "records say what they said", complaints: records::survive },
    Check { name: "records speak of what a recovery made", complaints: records::live_ids },
    Check { name: "a mark is its own recovery's", complaints: records::marks },
    Check { name: "bystanders and the default stay", complaints: records::bystanders },
];

/// Everything that breaks a rule, with the rule's name.
pub fn broken(history: &History) -> Vec<String> {
    let complain = |check: &Check| {
        let complaints = (check.complaints)(history).into_iter();
        complaints.map(|complaint| format!("{}: {complaint}", check.name)).collect::<Vec<_>>()
    };
    ALL.iter().flat_map(complain).collect()
}
