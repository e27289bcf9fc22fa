//! A machine that has not what the settings ask for.

use std::net::TcpListener;

use crate::asked::SetUp;

#[test]
fn a_port_that_another_program_has_is_told_with_how_to_find_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = SetUp::right()
        .with(&["--listen", &address.to_string()])
        .ask();
    let how = format!("ss -ltnp 'sport = :{}'", address.port());
    said.is_wrong(
        "port",
        &[&address.to_string(), "is in use by another program", &how],
    );
}

#[test]
fn an_address_of_another_machine_is_told() {
    let said = SetUp::right().with(&["--listen", "192.0.2.1:3000"]).ask();
    said.is_wrong(
        "port",
        &[
            "192.0.2.1:3000 cannot be listened on",
            "Name an address of this machine",
        ],
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    // Not even root can.
    let said = SetUp::right().with(&["--data", "/proc/none/data"]).ask();
    said.is_wrong(
        "data",
        &[
            "/proc cannot be written",
            "another --data than /proc/none/data",
        ],
    );
}

#[test]
fn too_few_open_files_are_told_with_how_many_connections_they_are_enough_for() {
    let said = SetUp::right().with_open_files(256).ask();
    assert_eq!(said.code, 0, "it works, for fewer");
    said.says(
        "warn",
        "open files",
        &[
            "256 are allowed",
            "enough for 206 connections",
            "LimitNOFILE=550",
        ],
    );
}

#[test]
fn wrong_settings_end_it_before_it_looks() {
    let output = SetUp::right().with(&["--history", "5000"]).run("doctor");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("5000 is not in 0..=1000")
    );
}
