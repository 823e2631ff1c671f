//! A host with a store in memory that answers as it should, until a test tells it to meddle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::frame;
use vouchsafe_protocol::limits::{LINK_FRAME_LEN, READ_FRAMES};
use vouchsafe_protocol::link::{
    Append, EnclaveState, LinkHello, StorageFailure, StorageReply, StorageRequest, StreamId,
};

use super::PATIENCE;

/// What a host keeps; clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Files>>);

#[derive(Clone, Default)]
pub struct Files {
    pub boot: Option<Vec<u8>>,
    pub streams: BTreeMap<StreamId, Vec<Vec<u8>>>,
}

impl Disk {
    pub fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap()
    }

    pub fn journal_len(&self) -> usize {
        self.files().streams.get(&StreamId::Journal).map_or(0, Vec::len)
    }

    /// Does what was asked.
    pub fn answer(&self, request: &StorageRequest) -> StorageReply {
        let mut files = self.files();
        match request {
            StorageRequest::Announce(_) => StorageReply::Done,
            StorageRequest::Append(appends) => match append(&mut files.streams, appends) {
                Some(()) => StorageReply::Done,
                None => StorageReply::Failed(StorageFailure::Conflict),
            },
            StorageRequest::Heads => StorageReply::Heads(
                files.streams.iter().map(|(stream, frames)| (*stream, frames.len() as u64)).collect(),
            ),
            StorageRequest::ReadBoot => StorageReply::Boot(files.boot.clone()),
            StorageRequest::ReadFrames { stream, from } => {
                let frames = files.streams.get(stream).into_iter().flatten();
                StorageReply::Frames(frames.skip(*from as usize).take(READ_FRAMES).cloned().collect())
            }
            StorageRequest::WriteBoot(record) => {
                files.boot = Some(record.clone());
                StorageReply::Done
            }
        }
    }
}

fn append(streams: &mut BTreeMap<StreamId, Vec<Vec<u8>>>, appends: &[Append]) -> Option<()> {
    let mut after = streams.clone();
    for Append { stream, index, frame } in appends {
        let frames = after.entry(*stream).or_default();
        if frames.len() as u64 != *index {
            return None;
        }
        frames.push(frame.clone());
    }
    *streams = after;
    Some(())
}

/// What a bad host does with a question and the honest answer to it; `None` closes the link.
pub type Meddle = Box<dyn FnMut(&StorageRequest, StorageReply) -> Option<Vec<u8>> + Send>;

/// The bytes of an answer.
pub fn framed(reply: &StorageReply) -> Vec<u8> {
    frame::enclose(&codec::encode(reply).unwrap(), LINK_FRAME_LEN).unwrap()
}

/// One host.
pub struct FakeHost {
    socket: PathBuf,
    disk: Disk,
    announced: Arc<watch::Sender<Option<EnclaveState>>>,
    meddle: Arc<Mutex<Meddle>>,
    hang_up: Arc<AtomicBool>,
    down: Arc<watch::Sender<bool>>,
    link: Option<JoinHandle<()>>,
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.abort();
        }
    }
}

impl FakeHost {
    pub fn new(socket: PathBuf, disk: Disk) -> Self {
        let honest: Meddle = Box::new(|_, reply| Some(framed(&reply)));
        let meddle = Arc::new(Mutex::new(honest));
        let down = Arc::new(watch::Sender::new(true));
        let announced = Arc::new(watch::Sender::new(None));
        Self { socket, disk, announced, meddle, hang_up: Arc::default(), down, link: None }
    }

    /// From now on.
    pub fn meddle(
        &self,
        meddle: impl FnMut(&StorageRequest, StorageReply) -> Option<Vec<u8>> + Send + 'static,
    ) {
        *self.meddle.lock().unwrap() = Box::new(meddle);
    }

    /// Answers the next append, then closes the link at once.
    pub fn hang_up_after_an_append(&self) {
        self.hang_up.store(true, Ordering::SeqCst);
    }

    pub fn behave(&self) {
        self.meddle(|_, reply| Some(framed(&reply)));
    }

    /// Connects (again) and keeps one link until it is lost. What was announced before is forgotten.
    pub async fn connect(&mut self) {
        if let Some(link) = self.link.take() {
            link.abort();
            // It ended or was aborted just now; either is right.
            drop(link.await);
        }
        self.announced.send_replace(None);
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (disk, announced) = (self.disk.clone(), Arc::clone(&self.announced));
        let (meddle, down) = (Arc::clone(&self.meddle), Arc::clone(&self.down));
        let hang_up = Arc::clone(&self.hang_up);
        down.send_replace(false);
        self.link = Some(tokio::spawn(async move {
            // A lost link is what some tests are about.
            drop(serve(stream, disk, &announced, &meddle, &hang_up).await);
            down.send_replace(true);
        }));
    }

    /// Waits until the link is lost, by whoever's doing.
    pub async fn lost(&self) {
        let mut down = self.down.subscribe();
        let waiting = down.wait_for(|down| *down);
        tokio::time::timeout(PATIENCE, waiting).await.expect("the link is closed").unwrap();
    }

    /// Waits for an announcement.
    pub async fn wait(&self, expected: impl Fn(&EnclaveState) -> bool) -> EnclaveState {
        let mut announced = self.announced.subscribe();
        let waiting = announced.wait_for(|state| state.as_ref().is_some_and(&expected));
        let state = tokio::time::timeout(PATIENCE, waiting).await;
        let state = state.unwrap_or_else(|_| panic!("waited in vain; last: {:?}", *self.announced.borrow()));
        state.unwrap().clone().unwrap()
    }
}

async fn serve(
    mut stream: UnixStream,
    disk: Disk,
    announced: &watch::Sender<Option<EnclaveState>>,
    meddle: &Mutex<Meddle>,
    hang_up: &AtomicBool,
) -> std::io::Result<()> {
    let hello = codec::encode(&LinkHello::Storage).unwrap();
    stream.write_all(&frame::enclose(&hello, LINK_FRAME_LEN).unwrap()).await?;
    loop {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let mut body = vec![0; frame::body_len(header, LINK_FRAME_LEN).unwrap()];
        stream.read_exact(&mut body).await?;
        let request: StorageRequest = codec::decode(&body, LINK_FRAME_LEN).unwrap();
        let reply = disk.answer(&request);
        let answer = (meddle.lock().unwrap())(&request, reply);
        let Some(answer) = answer else { return Ok(()) };
        stream.write_all(&answer).await?;
        if matches!(request, StorageRequest::Append(_)) && hang_up.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        if let StorageRequest::Announce(state) = request {
            announced.send_replace(Some(state));
        }
    }
}
