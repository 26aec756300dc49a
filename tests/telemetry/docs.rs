//! The table of attributes in `docs/telemetry.md` is the one in the code.

use salvor_runtime::telemetry::attr;

const DOCS: &str = include_str!("../../docs/telemetry.md");

#[test]
fn the_documented_attributes_are_those_in_the_code() {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `salvor.")?.split('|').map(str::trim).collect();
        let [name, meaning, ""] = cells[..] else { panic!("not two cells: {line}") };
        Some((format!("salvor.{}", name.trim_end_matches('`')), meaning.to_owned()))
    };
    let documented: Vec<_> = DOCS.lines().filter_map(row).collect();
    let coded: Vec<_> =
        attr::ALL.iter().map(|&(name, meaning)| (name.to_owned(), meaning.to_owned())).collect();
    assert_eq!(documented, coded);
}
