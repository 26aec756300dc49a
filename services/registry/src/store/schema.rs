//! The tables. Steps are only ever added.

use salvor_runtime::database::Migration;

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records, leases, gateways",
        sqlite: include_str!("../../migrations/sqlite/0001_initial.sql"),
        postgres: Some(include_str!("../../migrations/postgres/0001_initial.sql")),
    },
    Migration {
        version: 2,
        name: "the highest fence token of all",
        sqlite: LEASES_BY_TOKEN,
        postgres: Some(LEASES_BY_TOKEN),
    },
];

const LEASES_BY_TOKEN: &str = "CREATE INDEX leases_by_token ON leases (fence_token);";
