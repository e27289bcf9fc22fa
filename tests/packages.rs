//! What is named twice is the same in both places: browser libraries, for npm and for those who know them from bower, and
//! exactly so; Debian packages for the tests, in the script and in the README.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    private: bool,
    dependencies: BTreeMap<String, String>,
}

fn manifest(file: &str) -> Manifest {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn bower_and_npm_name_the_same_libraries_in_the_same_versions() {
    let npm: BTreeMap<_, _> = manifest("package.json")
        .dependencies
        .into_iter()
        .filter(|(name, _)| !name.starts_with("socket.io-client-"))
        .map(|(name, version)| match name.as_str() {
            "skeleton-css" => ("skeleton".to_owned(), version),
            _ => (name, version),
        })
        .collect();
    assert_eq!(manifest("bower.json").dependencies, npm);
    assert_eq!(npm.len(), 3, "jquery, moment and skeleton: {npm:?}");
}

#[test]
fn every_version_is_exact() {
    for file in ["package.json", "bower.json"] {
        let manifest = manifest(file);
        assert!(manifest.private, "{file} would be published");
        for (name, version) in &manifest.dependencies {
            let number = version.rsplit('@').next().unwrap();
            let parts: Vec<_> = number.split('.').map(str::parse::<u32>).collect();
            let exact = parts.len() == 3 && parts.iter().all(Result::is_ok);
            assert!(exact, "{file}: {name} {version}");
        }
    }
}

#[test]
fn every_client_generation_is_installed_under_its_number() {
    let packages = manifest("package.json").dependencies;
    for generation in ["0.9", "1", "2", "3", "4"] {
        let name = format!("socket.io-client-{generation}");
        let version = packages.get(&name).unwrap_or_else(|| panic!("no {name}"));
        let expected = format!("npm:socket.io-client@{generation}.");
        assert!(version.starts_with(&expected), "{name}: {version}");
    }
}

#[test]
fn the_readme_names_all_that_the_tests_install() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (_, told) = readme.split_once("the packages ").unwrap();
    let told = told.split_once(". ").unwrap().0;
    let told: Vec<_> = told.split([',', ' ', '\n']).collect();
    let script = fs::read_to_string(".ci/packages").unwrap();
    let needed = script.split("needed=(").nth(1).unwrap().split("\n)");
    let lines = needed.take(1).flat_map(str::lines);
    let packages: Vec<_> = lines
        .filter_map(|line| Some(line.split_once("]=")?.1))
        .collect();
    assert!(packages.len() > 5, "{packages:?}");
    for package in packages {
        assert!(told.contains(&package), "README.md does not name {package}");
    }
}

#[test]
fn the_lock_file_names_no_registry() {
    let lock = fs::read_to_string("package-lock.json").unwrap();
    assert!(
        !lock.contains("\"resolved\""),
        "see .npmrc, and install again"
    );
}

#[test]
fn what_is_installed_is_what_is_named() {
    for (name, wanted) in manifest("package.json").dependencies {
        let file = format!("node_modules/{name}/package.json");
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{file}: {error}: run `npm ci`"));
        let installed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let version = installed["version"].as_str().unwrap();
        assert_eq!(
            wanted.rsplit('@').next(),
            Some(version),
            "{name}: run `npm ci`"
        );
    }
}
