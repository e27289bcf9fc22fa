//! What the documents promise to be there is there.

use std::fs;

/// The rows of the tables of a text, without their heads.
fn rows(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let of_body = |at: usize| {
        let line: &str = lines[at];
        let is_head = lines
            .get(at + 1)
            .is_some_and(|next| next.starts_with("|---"));
        line.starts_with("| ") && !is_head
    };
    (0..lines.len())
        .filter(|at| of_body(*at))
        .map(|at| lines[at])
        .collect()
}

/// The last column of each row names tests: `` `file`: `name` ``, several with a `;` between them.
fn each_names_tests_that_there_are(rows: &[&str]) {
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

#[test]
fn every_failure_that_is_told_of_names_a_test_that_there_is() {
    let text = fs::read_to_string("docs/operating.md").unwrap();
    let (_, section) = text.split_once("## When a part fails").unwrap();
    let rows = rows(section.split("\n## ").next().unwrap());
    assert!(rows.len() > 10, "{rows:?}");
    each_names_tests_that_there_are(&rows);
}

#[test]
fn every_defence_that_is_claimed_names_a_test_that_there_is() {
    let text = fs::read_to_string("docs/security.md").unwrap();
    let (_, defended) = text.split_once("## What is defended").unwrap();
    let (defended, _) = defended.split_once("## What is not defended").unwrap();
    let defended = rows(defended);
    assert!(defended.len() > 20, "{defended:?}");
    each_names_tests_that_there_are(&defended);
    let (_, costs) = text.split_once("## What a stranger may cost").unwrap();
    let costs = rows(costs.split("\n## ").next().unwrap());
    assert!(costs.len() > 5, "{costs:?}");
    each_names_tests_that_there_are(&costs);
}

#[test]
fn every_way_to_deploy_bounds_memory_and_leaves_no_core_file() {
    for (file, lines) in [
        (
            "deploy/handshaken.service",
            ["\nMemoryMax=", "\nLimitCORE=0\n"],
        ),
        ("compose.yaml", ["mem_limit: ", "core: 0"]),
        ("deploy/stack.yaml", ["limits: { memory: ", "core: 0"]),
    ] {
        let text = fs::read_to_string(file).unwrap();
        for line in lines {
            assert!(text.contains(line), "{file} has no {line:?}");
        }
    }
}
