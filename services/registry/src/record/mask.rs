//! Which fields of a record an update may name.

use salvor_proto::registry::v1::Sandbox;

macro_rules! fields {
    ($($variant:ident $name:ident),+ $(,)?) => {
        /// A field of a record that UpdateSandbox may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Field {
            $($variant),+
        }

        impl Field {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// As in the proto.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name)),+
                }
            }

            /// Takes the field's value from `from`.
            fn copy(self, from: &Sandbox, into: &mut Sandbox) {
                match self {
                    $(Self::$variant => into.$name.clone_from(&from.$name)),+
                }
            }
        }
    };
}

fields! {
    State state,
    LiveId live_id,
    GatewayIdentity gateway_identity,
    Agents agents,
    Spec spec,
    Policy policy,
    Posture posture,
    SnapshotRules snapshot_rules,
    ConfigFiles config_files,
    ReadinessProbe readiness_probe,
    AutomaticRecovery automatic_recovery,
    Labels labels,
    Annotations annotations,
    SnapshotStatus snapshot_status,
    Recovery recovery,
}

// === impl Field ===

impl Field {
    /// Whether it tells what a lease's holder does or found, so that only that lease's fence token changes it.
    pub(crate) const fn is_of_the_holder(self) -> bool {
        matches!(self, Self::State | Self::SnapshotStatus | Self::Recovery)
    }

    /// Whether a recovery of the record works from it, and owes it afterwards: what the sandbox is, and what must hold of it.
    const fn is_of_a_recovery(self) -> bool {
        matches!(
            self,
            Self::LiveId | Self::GatewayIdentity | Self::Spec | Self::Policy | Self::Posture
        )
    }
}

/// The fields that one update changes: at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    fields: Vec<Field>,
}

// === impl Mask ===

impl Mask {
    /// The mask of these fields, in any order.
    pub(crate) fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_unstable();
        fields.dedup();
        Self { fields }
    }

    /// Whether it names `field`.
    pub(crate) fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    /// Whether only the holder of the record's lease may change what it names.
    pub(crate) fn needs_lease(&self) -> bool {
        self.fields.iter().any(|field| field.is_of_the_holder())
    }

    /// Whether a recovery of the record works from something that it names.
    pub(crate) fn disturbs_a_recovery(&self) -> bool {
        self.fields.iter().any(|field| field.is_of_a_recovery())
    }

    /// The proto's names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name())
    }

    /// `before` with the masked fields of `from`.
    pub(crate) fn apply(&self, before: &Sandbox, from: &Sandbox) -> Sandbox {
        let mut after = before.clone();
        for field in &self.fields {
            field.copy(from, &mut after);
        }
        after
    }
}
