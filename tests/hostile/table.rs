//! docs/threat-model.md has a row for each behaviour, and names the test.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{chunks, flood, heads, hints, lengths, names, reflection, slow, streams};

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    test: &'static str,
    client: String,
    gets: String,
    handler: String,
}

impl Row {
    pub(crate) fn new(
        test: &'static str,
        client: impl Into<String>,
        gets: impl Into<String>,
        handler: impl Into<String>,
    ) -> Self {
        Self {
            test,
            client: client.into(),
            gets: gets.into(),
            handler: handler.into(),
        }
    }

    fn line(&self) -> String {
        format!(
            "| {} | {} | {} | `{}` |",
            self.client, self.gets, self.handler, self.test
        )
    }
}

fn rows() -> Vec<Row> {
    [
        lengths::rows(),
        chunks::rows(),
        hints::rows(),
        streams::rows(),
        slow::rows(),
        names::rows(),
        flood::rows(),
        heads::rows(),
        reflection::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const HEAD: &str = "| client | gets | handler sees | test |";

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let page = read("docs/threat-model.md");
    let (_, table) = page.split_once(HEAD).expect("the table is there");
    let written: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let rows = rows();
    let lines: Vec<_> = rows.iter().map(Row::line).collect();
    assert_eq!(written, lines, "\nthe table should be:\n{}", lines.join("\n"));
}

/// A row without a test promises something that nobody looks at; a test without a row is not told.
#[test]
fn every_test_has_a_row() {
    let named: BTreeSet<_> = rows().iter().map(|row| row.test.to_owned()).collect();
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(root().join("tests/hostile")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if file != "table" {
            tests.extend(tests_in(&fs::read_to_string(path).unwrap()).map(|test| format!("{file}::{test}")));
        }
    }
    assert_eq!(named, tests);
}

fn tests_in(source: &str) -> impl Iterator<Item = &str> {
    source.split("#[test]\n").skip(1).map(|rest| {
        let name = rest.trim_start().strip_prefix("fn ").expect("a function follows");
        name.split('(').next().expect("a name")
    })
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
