//! Every method of the contracts, called with any bytes and with messages made of them, through a real socket and all
//! layers, on a database.

use std::time::Duration;

use contracts::common::v1::Audience;
use prost::Message;
use tonic::{Code, Status};

use super::material::{Material, Names};
use super::world::World;
use super::{Target, outcome, raw};

/// No call may take longer; streams are only looked at for a moment.
const HANG: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(30);

/// The first two bytes choose the method, the third the caller and the way, the rest is the request.
pub struct Requests {
    world: World,
}

impl Requests {
    /// With a suite of its own.
    pub fn new() -> Self {
        Requests {
            world: World::new(),
        }
    }
}

impl Target for Requests {
    fn run(&self, data: &[u8]) -> u64 {
        let world = &self.world;
        let mut material = Material::new(data);
        let at = material.below(world.policies.methods().len());
        let Some(method) = world.policies.methods().nth(at) else {
            return 0;
        };
        let how = material.byte();
        let access = &method.access[usize::from(how / 8) % method.access.len()];
        let (body, told) = if how.is_multiple_of(8) {
            (material.rest().to_vec(), format!("{data:?}"))
        } else {
            let kind = world.policies.pool().get_message_by_name(&method.request);
            let kind = kind.expect("a method's request is in the descriptors");
            let ids = world.ids();
            let names = Names {
                policies: &world.policies,
                ids: &ids,
                payment_key: &world.payment_key,
                now: kit::clock::Clock::now(&kit::clock::SystemClock).seconds(),
                first_partner: usize::from(
                    method.is_mutation() && access.audience == Audience::Retailer,
                ),
            };
            let message = names.message(&kind, &mut material, 0);
            (message.encode_to_vec(), format!("{message:?}"))
        };
        let token = world.token(access.audience);
        let (patience, streams) = match method.server_streaming {
            true => (GLANCE, true),
            false => (HANG, false),
        };
        let call = raw::call(&world.channel, &method.path, Some(&token), body);
        let answer = world
            .runtime
            .block_on(async { tokio::time::timeout(patience, call).await });
        let about = || format!("{} by {:?} with {told}", method.path, access.audience);
        match answer {
            Err(_) if streams => outcome((&method.path, "stream")),
            Err(_) => panic!("no answer within {HANG:?}: {}", about()),
            Ok(Ok(answer)) => {
                world.learn(&answer);
                outcome((
                    &method.path,
                    access.audience as i32,
                    "ok",
                    answer.len().min(64) / 16,
                ))
            }
            Ok(Err(status)) => {
                // The helper's own word for a stream that ended without a message.
                let ended = status.message() == "the answer was empty";
                let wrong = matches!(
                    status.code(),
                    Code::Internal | Code::Unknown | Code::DataLoss
                );
                assert!(
                    ended || !wrong,
                    "{:?} {}: {}",
                    status.code(),
                    status.message(),
                    about()
                );
                outcome((
                    &method.path,
                    access.audience as i32,
                    status.code() as i32,
                    plain(&status),
                ))
            }
        }
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let methods = self.world.policies.methods().len();
        let bytes = |at: usize, how: u8, step: u8| {
            let at = u16::try_from(at).unwrap_or_default().to_be_bytes();
            let mut seed = vec![at[0], at[1], how];
            seed.extend((1..=120_u8).map(|n| n.wrapping_mul(step)));
            seed
        };
        (0..methods)
            .flat_map(|at| [bytes(at, 1, 1), bytes(at, 9, 8), bytes(at, 17, 16)])
            .collect()
    }
}

/// A message without what is different each time.
fn plain(status: &Status) -> String {
    let letters = status
        .message()
        .chars()
        .filter(|letter| letter.is_ascii_alphabetic());
    letters.take(60).collect()
}
