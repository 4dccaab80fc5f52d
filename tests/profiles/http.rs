//! As much of HTTP/1.1 as it takes to stand behind a proxy: what comes in is kept byte for byte.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A request, as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    /// In the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// All of it, the bytes between chunks too.
    pub bytes: Vec<u8>,
}

/// What is answered.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A server; dropped, it listens no more.
pub struct Listening {
    pub address: String,
    over: Arc<AtomicBool>,
}

/// Answers requests on a free port, each connection on a thread of its own.
pub fn serve(answer: impl Fn(Received) -> Reply + Send + Sync + 'static) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (answer, over) = (Arc::new(answer), Arc::new(AtomicBool::new(false)));
    let ended = over.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten().take_while(|_| !ended.load(Ordering::Relaxed)) {
            let answer = answer.clone();
            thread::spawn(move || converse(&stream, answer.as_ref()));
        }
    });
    Listening { address, over }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It wakes up, and sees that it is over.
        drop(TcpStream::connect(&self.address));
    }
}

impl Received {
    /// The only header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "one `{name}` in {self:?}");
        value
    }

    /// Whether these bytes stand anywhere in it.
    pub fn contains(&self, bytes: &str) -> bool {
        self.bytes.windows(bytes.len()).any(|window| window == bytes.as_bytes())
    }
}

fn converse(stream: &TcpStream, answer: &dyn Fn(Received) -> Reply) {
    let mut input = BufReader::new(stream);
    while let Some(request) = receive(&mut input) {
        let head = request.method == "HEAD";
        let Reply { status, headers, body } = answer(request);
        let mut text = format!("HTTP/1.1 {status} Answered\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.extend([&*name, ": ", &value, "\r\n"]);
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend(if head { Vec::new() } else { body });
        if { stream }.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// The next request; none where the connection ends or what comes is no request.
fn receive(input: &mut impl BufRead) -> Option<Received> {
    let mut request = Received::default();
    let first = line(input, &mut request)?;
    let mut words = first.split(' ');
    words.next()?.clone_into(&mut request.method);
    words.next()?.clone_into(&mut request.target);
    loop {
        let header = line(input, &mut request)?;
        let Some((name, value)) = header.split_once(':') else { break };
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    if request.header("Transfer-Encoding").is_some() {
        loop {
            let size = usize::from_str_radix(line(input, &mut request)?.trim(), 16).ok()?;
            let chunk = exactly(input, &mut request, size)?;
            line(input, &mut request)?;
            if size == 0 {
                break;
            }
            request.body.extend(chunk);
        }
    } else if let Some(length) = request.header("Content-Length") {
        let length = length.parse().ok()?;
        request.body = exactly(input, &mut request, length)?;
    }
    Some(request)
}

/// A line without its end, each byte a character.
fn line(input: &mut impl BufRead, request: &mut Received) -> Option<String> {
    let mut bytes = Vec::new();
    input.read_until(b'\n', &mut bytes).ok().filter(|read| *read > 0)?;
    request.bytes.extend(&bytes);
    Some(bytes.iter().map(|byte| char::from(*byte)).filter(|character| !"\r\n".contains(*character)).collect())
}

fn exactly(input: &mut impl Read, request: &mut Received, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    input.read_exact(&mut bytes).ok()?;
    request.bytes.extend(&bytes);
    Some(bytes)
}
