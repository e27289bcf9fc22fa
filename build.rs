//! Sees to it that what the binary embeds is there before it is compiled. A release without the pages' libraries
//! would be a wrong one and is refused; for development a warning does, and those addresses answer 404.

use std::path::Path;

/// One file of every embedded package, and what installs them.
const INSTALLED: [&str; 6] = [
    "public/bower_components/jquery/dist/jquery.min.js",
    "node_modules/socket.io-client-0.9/dist/socket.io.js",
    "node_modules/socket.io-client-1/dist/socket.io.js",
    "node_modules/socket.io-client-2/dist/socket.io.js",
    "node_modules/socket.io-client-3/dist/socket.io.js",
    "node_modules/socket.io-client-4/dist/socket.io.js",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The installation fills a folder in `public`, so watching that one is enough to notice it. A path that does not
    // exist counts as changed each time: name none such.
    for watched in ["public", "node_modules/.package-lock.json"] {
        if Path::new(watched).exists() {
            println!("cargo::rerun-if-changed={watched}");
        }
    }
    let Some(missing) = INSTALLED.iter().find(|file| !Path::new(file).exists()) else {
        return;
    };
    let advice = format!(
        "`{missing}` is missing: run `npm ci` (or `make run`, which does), then build again"
    );
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::error={advice}");
    } else {
        println!("cargo::warning={advice}; until then the browser libraries answer 404");
    }
}
