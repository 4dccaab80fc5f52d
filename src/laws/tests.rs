//! The laws, tried with texts that are right, nearly right, and anything at all.

use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::domain::key_format::{Alphabet, Environment};
use crate::domain::refresh_token::PROOF;
use crate::profile::BUILT_IN;
use crate::profile::endpoints::Endpoint;
use crate::tokens::mac::RefreshTokenSigner;

/// Characters that parsers turn on.
const TELLING: &[char] = &[
    'a',
    'A',
    'z',
    '0',
    '9',
    ' ',
    '.',
    ':',
    '/',
    '%',
    '*',
    '{',
    '}',
    '"',
    '=',
    '&',
    ',',
    ';',
    '+',
    '-',
    '_',
    '@',
    '[',
    ']',
    '#',
    '?',
    '\\',
    '\n',
    '\r',
    '\t',
    '\0',
    'é',
    'σ',
    'ς',
    'İ',
    '\u{202e}',
    '\u{ff0e}',
    '\u{10ffff}',
];

/// The text after up to three edits: something is taken out, put in, or put in another's place.
fn spoiled(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let with = proptest::option::of(prop_oneof![select(TELLING), any::<char>()]);
    (text, vec((any::<Index>(), any::<bool>(), with), 0..4)).prop_map(|(text, edits)| {
        edits.into_iter().fold(text, |text, (place, replaces, with)| {
            let mut characters: Vec<char> = text.chars().collect();
            let place = place.index(characters.len() + 1);
            let end = characters.len().min(place + usize::from(replaces));
            characters.splice(place..end, with);
            characters.into_iter().collect()
        })
    })
}

fn anything() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,64}", vec(any::<char>(), 0..64).prop_map(|text| text.into_iter().collect())]
}

/// As many of each.
fn near(text: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    prop_oneof![spoiled(text), anything()]
}

fn format(prefix: &str, environments: &[&str], alphabet: Alphabet) -> KeyFormat {
    KeyFormat {
        prefix: prefix.to_owned().try_into().unwrap(),
        environments: environments.iter().map(|name| name.parse().unwrap()).collect(),
        alphabet,
    }
}

fn key_formats() -> impl Strategy<Value = KeyFormat> {
    (select(vec!["jtn_", "x", "a-b_", "live", "_"]), select(vec![Alphabet::Hex32, Alphabet::Base62]))
        .prop_map(|(prefix, alphabet)| format(prefix, &["live", "liv", "test", "0"], alphabet))
}

const SEGMENTS: &[&str] = &["a", "b", "A", "ä", "Ä", "σ", "ς", "ß", "ss", "İ", "{x}", "{y}", "{z}"];

fn patterns() -> impl Strategy<Value = String> {
    (vec(select(SEGMENTS), 0..4), select(vec!["", "/**"])).prop_map(|(segments, end)| {
        let text = segments.iter().fold(String::new(), |text, segment| text + "/" + segment);
        if text.is_empty() && end.is_empty() { "/".to_owned() } else { text + end }
    })
}

/// A table of the rows that go together.
fn tables() -> impl Strategy<Value = EndpointTable> {
    vec((patterns(), select(vec![Method::Get, Method::Post])), 1..10).prop_map(|rows| {
        rows.iter().fold(EndpointTable::default(), |table, (path, method)| {
            let Ok(path) = path.parse() else { return table };
            let row = Endpoint { methods: vec![*method], path, scope: None, access_types: None };
            EndpointTable::new(table.iter().cloned().chain([row]).collect()).unwrap_or(table)
        })
    })
}

/// Paths around those that tables have, in many spellings.
fn paths() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        8 => select(SEGMENTS).prop_map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()),
        4 => select(vec!["a", "B", "%61", "%C3%84", "%CE%A3", "SS", "c"]).prop_map(str::to_owned),
        1 => select(vec!["..", "", ".", "a%2Fb", "%E2%84%AA", "%EF%BC%8E"]).prop_map(str::to_owned),
    ];
    (vec(segment, 1..4), select(vec!["", "/"])).prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

/// A table, and a path that may meet its first row: its parameters filled, its letters in one case or the other.
fn meetings() -> impl Strategy<Value = (EndpointTable, String)> {
    (tables(), vec(select(SEGMENTS), 4), vec(0..3_usize, 4)).prop_map(|(table, fill, cases)| {
        let row = table.iter().next().map(|row| row.path.segments.clone()).unwrap_or_default();
        let segments = row.iter().zip(fill).zip(cases).map(|((segment, fill), case)| {
            let text = if let Segment::Literal(text) = segment { text } else { fill };
            let text = [str::to_owned, str::to_uppercase, str::to_lowercase][case](text);
            format!("/{}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
        });
        let text: String = segments.collect();
        (table, text)
    })
}

fn addresses() -> impl Strategy<Value = String> {
    let v4 = any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_string());
    let v6 = any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).to_string());
    let near = select(vec!["10.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "203.0.113.9", "[2001:db8::9]:443"]);
    prop_oneof![v4, v6, near.prop_map(str::to_owned)]
}

fn networks() -> impl Strategy<Value = String> {
    (addresses(), 0_u8..=129).prop_map(|(address, length)| format!("{address}/{length}"))
}

fn scope_lists() -> impl Strategy<Value = String> {
    vec(select(vec!["a:r", "a:w", "a.r", "a:r:x", "b:r", "A:r", "a:*", ""]), 0..5).prop_map(|words| words.join(" "))
}

fn bodies() -> impl Strategy<Value = String> {
    let member = select(vec![
        r#""name":"a b""#,
        r#""email":"Ada@Example.com""#,
        r#""scopes":"a:r a:w""#,
        r#""allowed_ips":["10.0.0.0/8","::1"]"#,
        r#""expires_at":"2030-12-31T23:59:59Z""#,
        r#""constraints":{"a":["b"]}"#,
        r#""tenant_id":"01890a5d-ac96-774b-bcce-b302099a8057""#,
        r#""number":7"#,
        r#""number":-1e999"#,
        r#""role":"admin""#,
    ]);
    vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
}

/// Found by fuzzing: the name was told twice, the second time up to the backtick.
#[test]
fn a_name_with_a_backtick_is_told_once() {
    let name = format!("{}`b", "a".repeat(100));
    json(format!(r#"{{"{name}":7}}"#).as_bytes());
}

/// Files keep no failures: what fails is shown, and becomes a test by its name.
fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn refresh_tokens(
        id: [u8; 16],
        generation: i64,
        proof: [u8; PROOF],
        cut in any::<Index>(),
        noise in near("jrt_[A-Za-z0-9_-]{75}"),
    ) {
        let token = RefreshToken { session: Uuid::from_bytes(id).into(), generation, proof };
        let secret = token.to_secret();
        let text = secret.expose();
        prop_assert!(RefreshToken::parse(text) == Some(token));
        prop_assert!(RefreshToken::parse(&text[..cut.index(text.len())]).is_none(), "none is cut short");
        prop_assert!(!RefreshTokenSigner::new(&[7; 32]).is_genuine(&token), "nobody guesses a proof");
        refresh_token(text);
        refresh_token(&noise);
    }

    #[test]
    fn api_keys(
        format in key_formats(),
        random: [u8; 16],
        other: [u8; 16],
        environment in any::<Index>(),
        noise in anything(),
    ) {
        let environment: &Environment = environment.get(&format.environments);
        let key = format.write(environment, random);
        prop_assert_eq!(format.read(key.expose()).map(|read| read.expose().to_owned()), Some(key.expose().to_owned()));
        prop_assert_eq!(format.write(environment, other).expose() == key.expose(), random == other);
        api_key(&format, key.expose());
        api_key(&format, &noise);
    }

    #[test]
    fn spoiled_api_keys(format in key_formats(), text in spoiled("(jtn_|x|live)(live|test|liv)_[0-9a-f]{28,32}")) {
        api_key(&format, &text);
    }

    #[test]
    fn authorization_headers(
        header in near("(Bearer|bearer|Token|Basic|BASIC)  ?[A-Za-z0-9+/]{4,12}={0,2} ?"),
        id in "[^:]{0,8}",
        secret in anything(),
    ) {
        authorization(header.as_bytes());
        let basic = format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()));
        let request = TestRequest::default().insert_header((AUTHORIZATION, basic)).to_http_request();
        let Ok(Some(Authorization::Basic(read_id, read_secret))) = authorization::of(&request) else { panic!() };
        prop_assert_eq!((read_id, read_secret), (id, secret));
    }

    #[test]
    fn authorization_bytes(header in vec(any::<u8>(), 0..40)) {
        authorization(&header);
    }

    #[test]
    fn original_requests(
        method in near("GET|HEAD|POST|PROPFIND"),
        target in near("/[a-z]{1,3}(/[a-z%0-9]{0,4}){0,3}"),
        other in proptest::option::of(near("(https://a)?/[a-z]{1,3}")),
    ) {
        original_request(method.as_bytes(), target.as_bytes(), other.as_deref().map(str::as_bytes));
        original_request(b"GET", target.as_bytes(), Some(target.as_bytes()));
        path(&target);
    }

    #[test]
    fn endpoints((table, met) in meetings(), text in prop_oneof![paths(), spoiled(paths())]) {
        for method in [Method::Get, Method::Post] {
            endpoint(&table, method, &met);
        }
        for method in [Method::Get, Method::Post, Method::Delete] {
            endpoint(&table, method, &text);
        }
        path(&text);
    }

    #[test]
    fn path_patterns(text in near(patterns())) {
        pattern(&text);
    }

    #[test]
    fn cursors(id: [u8; 16], text in near("[A-Za-z0-9_-]{22}")) {
        cursor(&BASE64URL_NOPAD.encode(&id));
        cursor(&text);
    }

    #[test]
    fn forwarded_headers(peer in addresses(), hops in vec(near(addresses()), 0..5), before in anything()) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let Ok(peer) = peer.parse() else { return Ok(()) };
        forwarded(peer, &trusted, hops.join(", ").as_bytes(), before.as_bytes());
    }

    #[test]
    fn forms(
        pairs in vec((anything(), anything()), 0..6),
        noise in spoiled("([a-c]=[a-c%+]{0,3}&){0,4}"),
        bytes in vec(any::<u8>(), 0..64),
    ) {
        form(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish().as_bytes());
        form(noise.as_bytes());
        form(&bytes);
    }

    #[test]
    fn json_bodies(text in spoiled(bodies()), bytes in vec(any::<u8>(), 0..64)) {
        json(text.as_bytes());
        json(&bytes);
    }

    #[test]
    fn scope_lists_narrow(held in scope_lists(), asked in near(scope_lists())) {
        scopes(&held, &asked);
        scopes(&asked, &held);
    }

    #[test]
    fn ip_allow_lists(words in vec(prop_oneof![networks(), addresses()], 0..4), noise in spoiled(networks())) {
        ip_allow_list(&words.join(" "));
        ip_allow_list(&noise);
    }

    #[test]
    fn emails(text in near("[A-Za-zİß.+]{1,8}@[a-zÄI]{1,8}\\.[a-z]{2,6}")) {
        email(&text);
    }

    #[test]
    fn times(
        text in near("[-+]?[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[-+]2[0-3]:[0-5][0-9])"),
    ) {
        time(&text);
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn profiles(text in spoiled(select(BUILT_IN.map(|(_, text)| text.to_owned()).to_vec())), cut in any::<Index>()) {
        profile(&text);
        let end = text.floor_char_boundary(cut.index(text.len() + 1));
        profile(&text[..end]);
    }

    #[test]
    fn whoever_alters_an_access_token_has_none(
        place in any::<Index>(),
        with in prop_oneof![select(TELLING), any::<char>()],
        noise in near("[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{86}"),
    ) {
        let tokens = Tokens::new().unwrap();
        let jwt = tokens.issue().unwrap();
        prop_assert!(tokens.accept(&jwt));
        let place = place.index(jwt.len());
        let altered = format!("{}{with}{}", &jwt[..place], &jwt[place + 1..]);
        prop_assert!(altered == jwt || !tokens.accept(&altered), "{}", altered);
        prop_assert!(!tokens.accept(&jwt[..place]) && !tokens.accept(&noise));
        prop_assert!(!Tokens::new().unwrap().accept(&jwt), "another server's key");
    }
}

/// What fuzzers gathered and what they found (`fuzz/corpus`), where a law takes it as it is.
#[test]
fn the_corpus_keeps_the_laws() {
    type Law = fn(&[u8]);
    let laws: [(&str, Law); 6] = [
        ("authorization", authorization),
        ("json", json),
        ("time", |bytes| str::from_utf8(bytes).map_or((), time)),
        ("email", |bytes| str::from_utf8(bytes).map_or((), email)),
        ("cursor", |bytes| str::from_utf8(bytes).map_or((), cursor)),
        ("profile", |bytes| str::from_utf8(bytes).map_or((), profile)),
    ];
    for (target, law) in laws {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/").to_owned() + target;
        let files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(!files.is_empty(), "{target}");
        for file in &files {
            law(file);
        }
    }
}
