//! What the documents promise to be there is there.

use std::fs;

#[test]
fn every_failure_that_is_told_of_names_a_test_that_there_is() {
    let text = fs::read_to_string("docs/operating.md").unwrap();
    let (_, section) = text.split_once("## When a part fails").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<_> = (section.lines())
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what fails"))
        .collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split("; ") {
            let named = test.split_once("`: `");
            let (file, name) = named.unwrap_or_else(|| panic!("no test in `{test}` of: {row}"));
            let (file, name) = (file.trim_matches('`'), name.trim_matches('`'));
            let source = fs::read_to_string(file).unwrap_or_else(|_| panic!("{file} of: {row}"));
            let definitions = [format!("fn {name}("), format!("test('{name}'")];
            assert!(
                definitions
                    .iter()
                    .any(|definition| source.contains(definition)),
                "{file} has no test `{name}`"
            );
        }
    }
}
