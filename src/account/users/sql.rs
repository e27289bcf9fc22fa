//! The statements, in each database's SQL. They say the same; placeholders, casts and what tells of a table's
//! columns differ. Casts make a column's exact type, which another program chose, indifferent.

use super::url::Kind;

/// All that is ever asked of the users' table.
pub(super) struct Statements {
    /// Makes a new connection as we need it.
    pub settle: &'static str,
    /// Begins what changes the table's shape, and keeps other replicas from doing the same meanwhile.
    pub begin: &'static str,
    pub lock: &'static str,
    /// The names of the table's columns; none where there is no such table.
    pub columns: &'static str,
    /// Creates the table in the old chat's shape.
    pub create: &'static str,
    /// The statement that gives `pass` room for an Argon2id hash; no row where there is room.
    pub widen: &'static str,
    pub add_name_key: &'static str,
    pub add_mail_key: &'static str,
    pub add_name_skeleton: &'static str,
    /// Adds the columns for what will take the place of the passwords that the old chat still reads.
    pub add_beside: &'static str,
    /// Puts it there, where the password is still the one that it was made of.
    pub take_over: &'static str,
    pub drop_beside: &'static str,
    /// Not 0 where this user may make and alter the table.
    pub may_alter: &'static str,
    /// The database's time, ms since 1970; null where it has no clock of its own.
    pub clock: &'static str,
    /// How many passwords are as the old chat keeps them.
    pub old_hashes: &'static str,
    /// Users who lack a key, or whose skeleton is not like this pattern, from this id on: id, name, mail.
    pub keyless: &'static str,
    pub set_name_key: &'static str,
    pub set_mail_key: &'static str,
    pub set_name_skeleton: &'static str,
    /// Takes away the skeleton of a user.
    pub unset_name_skeleton: &'static str,
    /// Users of this mail's key, or of this very mail and no key: id, name, mail, pass.
    pub by_mail: &'static str,
    /// How many users have a name of this key or skeleton, or this very name and no key.
    pub by_name: &'static str,
    pub insert: &'static str,
    /// The same, with what is kept beside.
    pub insert_shared: &'static str,
    /// Replaces a password's hash, if it is still this one.
    pub replace_hash: &'static str,
    /// Keeps a hash beside the one that it will replace, if that is still this one and has none yet.
    pub keep_beside: &'static str,
}

pub(super) fn statements(kind: Kind) -> &'static Statements {
    match kind {
        Kind::Sqlite => &SQLITE,
        Kind::MySql => &MYSQL,
        Kind::Postgres => &POSTGRES,
    }
}

const SQLITE: Statements = Statements {
    settle: "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
    begin: "BEGIN IMMEDIATE",
    lock: "SELECT 1",
    columns: "SELECT lower(name) FROM pragma_table_info('users')",
    create: "CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name VARCHAR(255) UNIQUE,
        mail VARCHAR(255) UNIQUE,
        pass VARCHAR(255))",
    // SQLite keeps text of any length in any column.
    widen: "SELECT '' WHERE 1 = 0",
    add_name_key: "ALTER TABLE users ADD COLUMN name_key VARCHAR(64);
        CREATE UNIQUE INDEX users_by_name_key ON users (name_key)",
    add_mail_key: "ALTER TABLE users ADD COLUMN mail_key VARCHAR(64);
        CREATE UNIQUE INDEX users_by_mail_key ON users (mail_key)",
    add_name_skeleton: "ALTER TABLE users ADD COLUMN name_skeleton VARCHAR(64);
        CREATE UNIQUE INDEX users_by_name_skeleton ON users (name_skeleton)",
    add_beside: "ALTER TABLE users ADD COLUMN argon2id VARCHAR(255);
        ALTER TABLE users ADD COLUMN argon2id_of VARCHAR(40)",
    take_over: "UPDATE users SET pass = argon2id WHERE CAST(pass AS TEXT) = argon2id_of",
    drop_beside: "ALTER TABLE users DROP COLUMN argon2id; ALTER TABLE users DROP COLUMN argon2id_of",
    may_alter: "SELECT CAST(1 AS BIGINT)",
    clock: "SELECT CAST(NULL AS BIGINT)",
    old_hashes: "SELECT COUNT(*) FROM users WHERE LENGTH(CAST(pass AS TEXT)) = 40",
    keyless: "SELECT CAST(id AS BIGINT), CAST(name AS TEXT), CAST(mail AS TEXT) FROM users
        WHERE id > $1 AND (name_key IS NULL OR mail_key IS NULL OR name_skeleton IS NULL OR name_skeleton NOT LIKE $2)
        ORDER BY id LIMIT 500",
    set_name_key: "UPDATE users SET name_key = $1 WHERE id = $2 AND name_key IS NULL",
    set_mail_key: "UPDATE users SET mail_key = $1 WHERE id = $2 AND mail_key IS NULL",
    set_name_skeleton: "UPDATE users SET name_skeleton = $1 WHERE id = $2",
    unset_name_skeleton: "UPDATE users SET name_skeleton = NULL WHERE id = $1",
    by_mail: "SELECT CAST(id AS BIGINT), CAST(name AS TEXT), CAST(mail AS TEXT), CAST(pass AS TEXT) FROM users
        WHERE mail_key = $1 OR (mail_key IS NULL AND mail = $2) ORDER BY id LIMIT 20",
    by_name: "SELECT COUNT(*) FROM users
        WHERE name_key = $1 OR name_skeleton = $2 OR (name_key IS NULL AND name = $3)",
    insert: "INSERT INTO users (name, mail, pass, name_key, mail_key, name_skeleton) VALUES ($1, $2, $3, $4, $5, $6)",
    insert_shared: "INSERT INTO users (name, mail, pass, name_key, mail_key, name_skeleton, argon2id, argon2id_of)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $3)",
    replace_hash: "UPDATE users SET pass = $1 WHERE id = $2 AND pass = $3",
    keep_beside: "UPDATE users SET argon2id = $1, argon2id_of = $3
        WHERE id = $2 AND pass = $3 AND (argon2id_of IS NULL OR argon2id_of <> $3)",
};

static MYSQL: Statements = Statements {
    // Without it, a text that does not fit is cut off in silence.
    settle: "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    begin: "START TRANSACTION",
    // Held until the connection ends: each ALTER commits by itself.
    lock: "SELECT GET_LOCK(CONCAT('handshaken.', SHA1(DATABASE())), 60)",
    columns: "SELECT CAST(LOWER(column_name) AS CHAR) FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'users'",
    create: "CREATE TABLE users (
        id INT AUTO_INCREMENT PRIMARY KEY,
        name VARCHAR(255) UNIQUE,
        mail VARCHAR(255) UNIQUE,
        pass VARCHAR(255),
        name_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        mail_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        name_skeleton VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        UNIQUE INDEX users_by_name_key (name_key),
        UNIQUE INDEX users_by_mail_key (mail_key),
        UNIQUE INDEX users_by_name_skeleton (name_skeleton)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC",
    widen: "SELECT CAST(CONCAT('ALTER TABLE users MODIFY pass ',
            IF(character_set_name IS NULL, 'VARBINARY(255)',
                CONCAT('VARCHAR(255) CHARACTER SET ', character_set_name, ' COLLATE ', collation_name)),
            IF(is_nullable = 'NO', ' NOT NULL', '')) AS CHAR)
        FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'pass'
            AND character_maximum_length < 255",
    add_name_key: "ALTER TABLE users ADD COLUMN name_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD UNIQUE INDEX users_by_name_key (name_key)",
    add_mail_key: "ALTER TABLE users ADD COLUMN mail_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD UNIQUE INDEX users_by_mail_key (mail_key)",
    add_name_skeleton: "ALTER TABLE users ADD COLUMN name_skeleton VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD UNIQUE INDEX users_by_name_skeleton (name_skeleton)",
    add_beside: "ALTER TABLE users ADD COLUMN argon2id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
        ADD COLUMN argon2id_of VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL",
    take_over: "UPDATE users SET pass = argon2id WHERE CAST(pass AS BINARY) = CAST(argon2id_of AS BINARY)",
    drop_beside: "ALTER TABLE users DROP COLUMN argon2id, DROP COLUMN argon2id_of",
    // What is granted to roles is not listed here, so it may tell less than there is.
    may_alter: "SELECT COUNT(*) FROM (
            SELECT privilege_type FROM information_schema.user_privileges
            UNION ALL SELECT privilege_type FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema
            UNION ALL SELECT privilege_type FROM information_schema.table_privileges
                WHERE table_schema = DATABASE() AND table_name = 'users') held
        WHERE privilege_type = 'ALTER'",
    clock: "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    old_hashes: "SELECT COUNT(*) FROM users WHERE LENGTH(pass) = 40",
    keyless: "SELECT CAST(id AS SIGNED), CAST(name AS CHAR), CAST(mail AS CHAR) FROM users
        WHERE id > ? AND (name_key IS NULL OR mail_key IS NULL OR name_skeleton IS NULL OR name_skeleton NOT LIKE ?)
        ORDER BY id LIMIT 500",
    set_name_key: "UPDATE users SET name_key = ? WHERE id = ? AND name_key IS NULL",
    set_mail_key: "UPDATE users SET mail_key = ? WHERE id = ? AND mail_key IS NULL",
    set_name_skeleton: "UPDATE users SET name_skeleton = ? WHERE id = ?",
    unset_name_skeleton: "UPDATE users SET name_skeleton = NULL WHERE id = ?",
    // Converted, because a column that lacks a character cannot be compared with it.
    by_mail: "SELECT CAST(id AS SIGNED), CAST(name AS CHAR), CAST(mail AS CHAR), CAST(pass AS CHAR) FROM users
        WHERE mail_key = ? OR (mail_key IS NULL AND CONVERT(mail USING utf8mb4) = ?) ORDER BY id LIMIT 20",
    by_name: "SELECT COUNT(*) FROM users
        WHERE name_key = ? OR name_skeleton = ? OR (name_key IS NULL AND CONVERT(name USING utf8mb4) = ?)",
    insert: "INSERT INTO users (name, mail, pass, name_key, mail_key, name_skeleton) VALUES (?, ?, ?, ?, ?, ?)",
    // Its columns are filled in from left to right.
    insert_shared: "INSERT INTO users (name, mail, pass, name_key, mail_key, name_skeleton, argon2id, argon2id_of)
        VALUES (?, ?, ?, ?, ?, ?, ?, pass)",
    replace_hash: "UPDATE users SET pass = ? WHERE id = ? AND pass = ?",
    keep_beside: "UPDATE users SET argon2id = ?, argon2id_of = pass
        WHERE id = ? AND pass = ? AND (argon2id_of IS NULL OR CAST(pass AS BINARY) <> CAST(argon2id_of AS BINARY))",
};

static POSTGRES: Statements = Statements {
    settle: "SELECT 1",
    begin: "BEGIN",
    // Any number that nobody else takes: the bytes of `handshak`.
    lock: "SELECT pg_advisory_xact_lock(7521962890003054955)",
    columns: "SELECT CAST(attname AS TEXT) FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('users') AND attnum > 0 AND NOT attisdropped",
    create: "CREATE TABLE users (
        id INT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        name VARCHAR(255) UNIQUE,
        mail VARCHAR(255) UNIQUE,
        pass VARCHAR(255))",
    // For `varchar` and `char`, atttypmod is the length and four; -1 means no limit.
    widen:
        "SELECT 'ALTER TABLE users ALTER COLUMN pass TYPE VARCHAR(255)' FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('users') AND attname = 'pass' AND NOT attisdropped
            AND atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod BETWEEN 0 AND 258",
    may_alter: "SELECT CAST(CASE WHEN COALESCE(
                (SELECT pg_has_role(relowner, 'MEMBER') FROM pg_catalog.pg_class WHERE oid = to_regclass('users')),
                has_schema_privilege(current_schema(), 'CREATE'))
            THEN 1 ELSE 0 END AS BIGINT)",
    clock: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    // The dialects agree on the rest.
    ..SQLITE
};
