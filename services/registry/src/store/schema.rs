//! The tables. Steps are only ever added.

use salvor_runtime::sqlite::Migration;

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records, leases, gateways",
        sql: include_str!("../../migrations/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "the highest fence token of all",
        sql: "CREATE INDEX leases_by_token ON leases (fence_token);",
    },
];
