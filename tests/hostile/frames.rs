//! HTTP/2 by hand, without anybody who would keep its rules for us (RFC 9113, RFC 7541).

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::raw::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) struct Wire {
    stream: TcpStream,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    /// By the server, with this code.
    Reset(u32),
    /// The server gave the connection up, with this code.
    GoAway(u32),
    Closed,
}

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with_window(address, 65_535)
    }

    /// Of answers the server may send so much of each.
    pub(crate) fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut wire = Self { stream };
        wire.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        // Without a table every answer tells its status in full.
        let mut settings = Vec::new();
        for (setting, value) in [(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, window)] {
            settings.extend(setting.to_be_bytes());
            settings.extend(u32::to_be_bytes(value));
        }
        wire.frame(SETTINGS, 0, 0, &settings).unwrap();
        wire
    }

    /// Begins an upload.
    pub(crate) fn put(&mut self, stream: u32, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut block = Vec::new();
        let head = [
            (":method", "PUT"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "t"),
        ];
        for (name, value) in head.iter().chain(fields) {
            // Literal, never indexed by anybody.
            block.push(0x10);
            for text in [name, value] {
                integer(&mut block, text.len());
                block.extend(text.bytes());
            }
        }
        let mut kind = HEADERS;
        let mut pieces = block.chunks(16_384).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            self.frame(kind, flags, stream, piece)?;
            kind = CONTINUATION;
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, stream: u32, bytes: usize, is_last: bool) -> io::Result<()> {
        let flags = if is_last { END_STREAM } else { 0 };
        self.frame(DATA, flags, stream, &vec![0; bytes])
    }

    pub(crate) fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
    }

    pub(crate) fn widen(&mut self, stream: u32, by: u32) -> io::Result<()> {
        self.frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
    }

    /// Reads until it is known what became of a stream.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Ok((kind, flags, of, payload)) = self.next() else {
                return Outcome::Closed;
            };
            match kind {
                HEADERS if of == stream => return Outcome::Status(status(&payload)),
                RST_STREAM if of == stream => return Outcome::Reset(number(&payload)),
                GOAWAY => return Outcome::GoAway(number(&payload[4..])),
                SETTINGS if flags & ACK == 0 => {
                    let _ = self.frame(SETTINGS, ACK, 0, &[]);
                }
                _ => {}
            }
        }
    }

    /// Reads the body of an answer to its end.
    pub(crate) fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let (kind, flags, of, payload) = self.next().expect("more of it");
            if kind == DATA && of == stream {
                body.extend(payload);
                if flags & END_STREAM != 0 {
                    return body;
                }
                self.widen(stream, 1000).unwrap();
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame)
    }

    fn next(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((head[3], head[4], number(&head[5..]), payload))
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// With a prefix of seven bits (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, number: usize) {
    if number < 127 {
        block.push(number as u8);
        return;
    }
    block.push(127);
    let mut left = number - 127;
    while left >= 128 {
        block.push((left % 128 + 128) as u8);
        left /= 128;
    }
    block.push(left as u8);
}

/// The first field of an answer.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come before it.
    let start = block.iter().position(|byte| byte >> 5 != 0b001).expect("a field");
    let block = &block[start..];
    if block[0] & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] & 0x7f) - 8];
    }
    let (is_huffman, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let text = &block[2..2 + length];
    let digits = if is_huffman {
        huffman_digits(text)
    } else {
        text.to_vec()
    };
    String::from_utf8(digits).unwrap().parse().expect("three digits")
}

/// Digits have codes of five or six bits (RFC 7541 appendix B).
fn huffman_digits(text: &[u8]) -> Vec<u8> {
    let bits: Vec<_> = text
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let (mut digits, mut at) = (Vec::new(), 0);
    while digits.len() < 3 {
        let take = |count: usize| bits[at..at + count].iter().fold(0, |number, bit| number * 2 + bit);
        let five = take(5);
        if five < 3 {
            digits.push(b'0' + five);
            at += 5;
        } else {
            digits.push(b'3' + (take(6) - 0b01_1001));
            at += 6;
        }
    }
    digits
}
