//! Aligned columns without lines.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use super::{Look, Tone, clean};

/// A table of cells, each with its tone. `empty` stands in when there is no row.
pub(crate) fn table(
    header: &[&str],
    rows: Vec<Vec<(Tone, String)>>,
    empty: &str,
    look: Look,
) -> String {
    if rows.is_empty() {
        return format!("{}\n", look.paint(Tone::Dim, empty));
    }
    let mut table = Table::new();
    // Only `Look` says whether there is colour. Rows are never cut: a name must survive a copy.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.force_no_tty();
    if look.color {
        table.enforce_styling();
        table.style_text_only();
    }
    table.set_header(header.iter().map(|title| Cell::new(title).add_attribute(Attribute::Dim)));
    for row in rows {
        table.add_row(row.into_iter().map(|(tone, text)| cell(tone, &text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

fn cell(tone: Tone, text: &str) -> Cell {
    let cell = Cell::new(clean(&text.replace('\n', " ")));
    match tone {
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warn => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Plain => cell,
    }
}
