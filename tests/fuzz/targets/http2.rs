//! Bytes on a live server's socket: anything, HTTP/2 frames, and calls whose headers are anything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::common::v1::Audience;

use super::material::Material;
use super::world::World;
use super::{Target, outcome};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long an answer is listened to.
const LISTEN: Duration = Duration::from_millis(20);
/// An honest caller looks in after so many inputs.
const HONEST_EACH: u64 = 256;

/// The first byte chooses the way, the rest is what is sent.
pub struct Http2 {
    world: World,
    rounds: AtomicU64,
}

impl Http2 {
    /// With a suite of its own.
    pub fn new() -> Self {
        Http2 {
            world: World::new(),
            rounds: AtomicU64::new(0),
        }
    }

    fn bytes(&self, data: &[u8]) -> Vec<u8> {
        let mut material = Material::new(data);
        let mut sent = Vec::new();
        let way = material.byte() % 4;
        if way != 0 {
            sent.extend_from_slice(PREFACE);
            frame(&mut sent, 4, 0, 0, &[]);
        }
        match way {
            0 | 1 => sent.extend_from_slice(material.rest()),
            2 => {
                while !material.is_empty() {
                    let (kind, flags, stream) =
                        (material.byte() % 12, material.byte(), material.byte());
                    let length = usize::from(material.byte());
                    frame(
                        &mut sent,
                        kind,
                        flags,
                        u32::from(stream % 16),
                        material.take(length),
                    );
                }
            }
            _ => self.call(&mut sent, &mut material),
        }
        sent
    }

    /// Calls that are whole as HTTP/2; their path, headers and messages are not.
    fn call(&self, sent: &mut Vec<u8>, material: &mut Material<'_>) {
        let methods = self.world.policies.methods().len();
        for stream in 0..1 + u32::from(material.byte() % 3) {
            let path = self.world.policies.methods().nth(material.below(methods));
            let path = path.map(|method| method.path.clone()).unwrap_or_default();
            let path = match material.byte() % 4 {
                0 => String::from_utf8_lossy(material.take(24)).into_owned(),
                1 => format!("/{path}"),
                2 => path.to_uppercase(),
                _ => path,
            };
            let mut block = Vec::new();
            for (name, value) in [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "x"),
                (":path", &path),
            ] {
                header(&mut block, name.as_bytes(), value.as_bytes());
            }
            header(&mut block, b"content-type", b"application/grpc");
            header(&mut block, b"te", b"trailers");
            if !material.byte().is_multiple_of(4) {
                let token = format!("Bearer {}", self.world.token(Audience::Partner));
                header(&mut block, b"authorization", token.as_bytes());
            }
            for _ in 0..material.byte() % 6 {
                let name = [
                    "grpc-timeout",
                    "traceparent",
                    "authorization",
                    "grpc-encoding",
                    "grpc-accept-encoding",
                    "content-type",
                    "signature",
                    "signature-input",
                    "content-digest",
                    "x-request-id",
                    "content-length",
                    "tracestate",
                ][usize::from(material.byte()) % 12];
                let length = usize::from(material.byte() % 64);
                header(&mut block, name.as_bytes(), material.take(length));
            }
            frame(sent, 1, 0x4, stream * 2 + 1, &block);
            let length = usize::from(material.byte());
            let message = material.take(length);
            let mut data = vec![material.byte() % 3];
            let told = if material.byte().is_multiple_of(4) {
                u32::MAX
            } else {
                message.len() as u32
            };
            data.extend_from_slice(&told.to_be_bytes());
            data.extend_from_slice(message);
            frame(sent, 0, material.byte() % 2, stream * 2 + 1, &data);
        }
    }
}

/// One frame; its length is what it is.
fn frame(sent: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    sent.extend_from_slice(&length[1..]);
    sent.extend_from_slice(&[kind, flags]);
    sent.extend_from_slice(&stream.to_be_bytes());
    sent.extend_from_slice(payload);
}

/// A header as HPACK has it without tables and without Huffman.
fn header(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        if text.len() < 127 {
            block.push(text.len() as u8);
        } else {
            block.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend_from_slice(text);
    }
}

impl Target for Http2 {
    fn run(&self, data: &[u8]) -> u64 {
        let sent = self.bytes(data);
        let Ok(mut stream) = TcpStream::connect(self.world.address) else {
            panic!("the server takes no connection");
        };
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
        let _ = stream.set_read_timeout(Some(LISTEN));
        let (mut told, mut answer) = (0, [0; 4_096]);
        if stream.write_all(&sent).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
            while told < 65_536 {
                match stream.read(&mut answer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => told += read,
                }
            }
        }
        drop(stream);
        if self
            .rounds
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(HONEST_EACH)
        {
            self.world.assert_answers();
        }
        outcome((data.first().map(|way| way % 4), told / 8, answer.get(..16)))
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = vec![
            b"\0GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"\0\x16\x03\x01\x02\0\x01\0".to_vec(),
        ];
        // Each kind of frame with each flag.
        for kind in 0..12_u8 {
            for flags in [0, 1, 4, 5, 8, 0x20, 0xff] {
                seeds.push(vec![2, kind, flags, 1, 8, 0, 0, 0, 1, 0, 0, 0, 9]);
                seeds.push(vec![2, kind, flags, 0, 6, 0, 4, 0xff, 0xff, 0xff, 0xff]);
            }
        }
        seeds.extend((0..60_u8).map(|step| {
            let mut seed = vec![3];
            seed.extend((0..200_u8).map(|n| n.wrapping_mul(step | 1)));
            seed
        }));
        seeds
    }
}
