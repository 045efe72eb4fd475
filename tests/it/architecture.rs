//! The walls of the house: which module may import which, and that the documents tell the truth.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::in_repository;

/// From the top down: a module imports only what stands on a lower line.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["config"],
    &["gate", "issuer", "server"],
    &["account", "opaque", "policy", "lease", "limit", "mail"],
    &["session", "token"],
    &["store", "telemetry"],
    &["clock", "secret", "wire"],
];

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("{module} stands on no floor; give it one in FLOORS"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// The files below `src`, by their paths there, each with its code; those of unit tests and of generators are left out.
fn production_files() -> Vec<(PathBuf, String)> {
    let src = in_repository("src");
    let files: Vec<_> = sources(&src)
        .into_iter()
        .map(|file| (file.strip_prefix(&src).expect("below src").to_owned(), file))
        .filter(|(inside, _)| {
            !inside.iter().any(|part| part == "tests" || part == "tests.rs" || part == "generated")
        })
        .map(|(inside, file)| (inside, production(&std::fs::read_to_string(file).expect("text"))))
        .collect();
    assert!(files.len() > 40, "only {} files were found", files.len());
    files
}

#[test]
fn imports_point_down() {
    let mut edges = BTreeSet::new();
    for (inside, code) in production_files() {
        let module = module_of(&inside);
        if module == ["lib"] {
            continue;
        }
        // `super` must not lead where `crate` may not.
        let out = "super::".repeat(module.len());
        assert!(!code.contains(&out), "{}: {out} leads out of {}", inside.display(), module[0]);
        for target in paths(&code, &module) {
            if target[0] != module[0] {
                edges.insert((module[0].clone(), target[0].clone(), inside.display().to_string()));
            }
        }
    }
    assert!(edges.len() > 20, "only {} imports were found", edges.len());
    for (from, to, file) in edges {
        assert!(floor(&from) < floor(&to), "{file}: {from} imports {to}, which is not below it");
    }
}

/// The code of a file without its unit tests, which stand last, and without comments.
fn production(text: &str) -> String {
    // A test helper among the code counts as code, and so does all that follows `mod tests;`.
    let (code, tests) = text.split_once("#[cfg(test)]\nmod tests {\n").unwrap_or((text, "}\n"));
    let after = tests.split_once("\n}\n").map_or("", |(_, after)| after);
    assert_eq!(after, "", "something stands behind the tests");
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names of the paths up to the closing brace.
fn group(inner: &str) -> Vec<String> {
    let (mut names, mut depth, mut is_first) = (Vec::new(), 1, true);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return names,
            '}' => depth -= 1,
            ',' if depth == 1 => is_first = true,
            c if is_first && !c.is_whitespace() => {
                names.push(name(&inner[at..]));
                is_first = false;
            }
            _ => {}
        }
    }
    panic!("braces that do not close: {inner:.80}")
}

fn name(path: &str) -> String {
    let name: String =
        path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    assert!(!name.is_empty(), "an import of everything, or of the crate itself: {path:.40}");
    name
}

/// The full paths that a module's code names by `crate::` and by chains of `super::`.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let absolute = code.match_indices("crate::").map(|(at, word)| (0, &code[at + word.len()..]));
    let relative = code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("::"));
    let relative = relative.map(|(at, word)| {
        let path = code[at..].trim_start_matches(word);
        (module.len().saturating_sub((code.len() - at - path.len()) / word.len()), path)
    });
    absolute.chain(relative).flat_map(|(base, path)| continued(&module[..base], path)).collect()
}

/// The paths that go on from `base`: one, or one for each name in braces; of `*` it is `base` itself.
fn continued(base: &[String], path: &str) -> Vec<Vec<String>> {
    if let Some(inner) = path.strip_prefix('{') {
        return group(inner).into_iter().map(|name| [base, &[name]].concat()).collect();
    }
    if path.starts_with('*') {
        return vec![base.to_vec()];
    }
    let next = name(path);
    let (path, base) = (&path[next.len()..], [base, &[next]].concat());
    path.strip_prefix("::").map_or_else(|| vec![base.clone()], |path| continued(&base, path))
}

/// The module of a file, from the top: `config/keys.rs` and `config/keys/mod.rs` are one.
fn module_of(inside: &Path) -> Vec<String> {
    let parts = inside.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod").collect()
}

#[test]
fn no_two_modules_beside_each_other_need_each_other() {
    let files = production_files();
    let modules: BTreeSet<_> = files.iter().map(|(inside, _)| module_of(inside)).collect();
    let mut edges = BTreeSet::new();
    for (inside, code) in &files {
        let from = module_of(inside);
        for path in paths(code, &from) {
            let mut to = (0..=path.len()).rev().map(|end| &path[..end]);
            let to = to.find(|to| modules.contains(*to)).unwrap_or_default();
            let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            if shared < to.len() && shared < from.len() {
                edges.insert((from[..=shared].to_vec(), to[..=shared].to_vec()));
            }
        }
    }
    assert!(edges.len() > 100, "only {} imports were found", edges.len());
    // A module that needs none of the rest falls out, again and again; a circle never does.
    while !edges.is_empty() {
        let needy: BTreeSet<_> = edges.iter().map(|(from, _)| from.clone()).collect();
        let before = edges.len();
        edges.retain(|(_, to)| needy.contains(to));
        assert!(edges.len() < before, "modules need each other: {edges:?}");
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::gate::{Gate, verdict};\n// use crate::comment;\n\
        #[cfg(test)]\nfn helper() { crate::clock::now() }\n#[cfg(test)]\nmod tests;\n\
        use crate::{\n    session::{self, store::{A, B}},\n    token, secret::Secret as S,\n};\n\
        use super::{audit::Audit, scopes};\nuse super::super::key;\n\
        #[cfg(test)]\nmod tests {\n    use crate::app;\n}\n";
    let own = ["issuer", "refresh"].map(str::to_owned);
    let found = paths(&production(text), &own).into_iter().map(|path| path.join("::"));
    let expected = ["gate::Gate", "gate::verdict", "clock::now", "session", "token", "secret"];
    let relative = ["issuer::audit", "issuer::scopes", "key"];
    assert_eq!(found.collect::<Vec<_>>(), [&expected[..], &relative].concat());
}

/// Clippy counts the lines of functions (`too_many_lines`, with the bound in `clippy.toml`), and nobody those of files.
#[test]
fn no_file_that_is_written_by_hand_is_over_400_lines() {
    let files = ["src", "tests", "benches"].map(|folder| sources(&in_repository(folder))).concat();
    assert!(files.len() > 300, "only {} files were found", files.len());
    for file in files {
        let lines = std::fs::read_to_string(&file).expect("text").lines().count();
        let is_generated = file.iter().any(|part| part == "generated");
        assert!(lines <= 400 || is_generated, "{}: {lines} lines", file.display());
    }
}

/// `wire/json.rs` says why. Of the other two, which every new token passes, one reads a fixed type, and one checks by
/// `wire/json.rs` before it reads.
#[test]
fn json_is_read_in_one_place() {
    const READERS: [&str; 3] = ["wire/json.rs", "token/jws.rs", "token/claims.rs"];
    const READS: [&str; 3] =
        ["serde_json::from_slice", "serde_json::from_str", "serde_json::from_reader"];
    let reads = |text: &str| READS.iter().any(|read| text.contains(read));
    let (allowed, others): (Vec<_>, Vec<_>) = production_files()
        .into_iter()
        .filter(|(_, text)| reads(text))
        .map(|(path, _)| path.display().to_string())
        .partition(|path| READERS.iter().any(|reader| path.ends_with(reader)));
    assert_eq!((allowed.len(), others), (READERS.len(), Vec::new()));
}

#[test]
fn architecture_md_is_short_and_names_every_module() {
    let text = std::fs::read_to_string(in_repository("ARCHITECTURE.md")).expect("the document");
    assert!(text.lines().count() <= 120, "{} lines", text.lines().count());
    for module in FLOORS.concat() {
        assert!(text.contains(module), "{module} is not in ARCHITECTURE.md");
    }
}

/// Cargo refuses a manifest of which a target is missing, also where another target is built.
#[test]
fn the_image_is_built_from_every_target_of_the_manifest() {
    let read = |file: &str| std::fs::read_to_string(in_repository(file)).expect(file);
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let build = dockerfile.split("\nFROM ").nth(1).expect("a build stage, then another");
    let copies: Vec<Vec<&str>> = build
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .map(|line| line.split_whitespace().filter(|word| !word.starts_with("--")).collect())
        .collect();
    let mut needed = targets(&read("Cargo.toml"));
    assert!(needed.len() > 4, "only {needed:?}");
    needed.extend(["Cargo.toml", "Cargo.lock"].map(str::to_owned));
    for path in needed {
        assert!(in_repository(&path).is_file(), "Cargo.toml names {path}, which is not there");
        assert!(
            copies.iter().any(|words| arrives(words, &path)),
            "the Dockerfile's build stage does not copy {path}"
        );
        assert!(is_sent(&ignored, &path), ".dockerignore keeps {path} away from the build");
    }
}

#[test]
fn a_copy_and_a_pattern_are_understood_as_docker_does() {
    for (words, path, expected) in [
        ("a b ./", "a", true),
        ("a b/ ./", "b/c", false),
        ("src src", "src/main.rs", true),
        ("src/ ./src/", "src/main.rs", true),
        ("src source", "src/main.rs", false),
        ("src ./", "src/main.rs", false),
        ("src src", "srcs/main.rs", false),
        ("benches/a.rs benches/", "benches/a.rs", true),
        ("benches/a.rs benches/", "benches/b.rs", false),
        (". .", "benches/b.rs", true),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(arrives(&words, path), expected, "{words:?} {path}");
    }
    for (ignored, path, expected) in [
        ("*\n# some\n!src\n", "src/main.rs", true),
        ("*\n!src\n", "benches/a.rs", false),
        ("benches\n", "benches/a.rs", false),
        ("!src\n*\n", "src/main.rs", false),
        ("", "src/main.rs", true),
    ] {
        assert_eq!(is_sent(ignored, path), expected, "{ignored:?} {path}");
    }
}

/// The files of the targets that the manifest names; cargo finds the others by itself, or not.
fn targets(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let path =
        |target: &toml::Value| target.get("path").and_then(toml::Value::as_str).map(str::to_owned);
    let lib = manifest.get("lib").map(|lib| path(lib).unwrap_or("src/lib.rs".to_owned()));
    let mut found: Vec<String> = lib.into_iter().collect();
    for (kind, folder) in
        [("bin", "src/bin"), ("bench", "benches"), ("test", "tests"), ("example", "examples")]
    {
        for target in manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten() {
            let name = target["name"].as_str().expect("a name");
            let usual = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/main.rs")];
            let usual = usual.into_iter().find(|path| in_repository(path).is_file());
            found
                .push(path(target).or(usual).unwrap_or_else(|| panic!("{kind} {name} is no file")));
        }
    }
    found
}

/// True if `COPY sources... destination` puts this file where it stands in the repository.
fn arrives(words: &[&str], path: &str) -> bool {
    let (destination, sources) = words.split_last().expect("COPY has a destination");
    let folder = destination.trim_start_matches("./").trim_end_matches(['/', '.']);
    let below =
        |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    sources.iter().map(|source| source.trim_end_matches('/')).any(|source| {
        let base = source.rsplit('/').next().unwrap_or(source);
        let into_folder = destination.ends_with(['/', '.']);
        if source == "." {
            return path == below(path);
        }
        match path.strip_prefix(source) {
            Some("") => path == if into_folder { below(base) } else { folder.to_owned() },
            Some(rest) => rest.strip_prefix('/').is_some_and(|rest| path == below(rest)),
            None => false,
        }
    })
}

/// True if the last pattern that fits the file, or a folder above it, lets it through.
fn is_sent(ignored: &str, path: &str) -> bool {
    let lines = ignored.lines().map(str::trim);
    let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    patterns.fold(true, |sent, line| {
        let pattern = line.trim_start_matches('!').trim_matches('/').trim_end_matches("/**");
        assert!(pattern == "*" || !pattern.contains(['*', '?', '[']), "{line} is not understood");
        let rest = path.strip_prefix(pattern);
        let fits =
            pattern == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if fits { line.starts_with('!') } else { sent }
    })
}
