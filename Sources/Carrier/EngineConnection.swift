import CLinux
import Platform
import Wire

/// Why a connection to an engine is over.
package enum EngineFault: Error, Equatable, Sendable, CustomStringConvertible {
  case system(Errno)
  case reply(RESPFault)
  /// The engine has closed it.
  case closed
  /// What it refuses, in its words made harmless.
  case refused(String)
  /// It has not answered for so many seconds.
  case silent(Int)
  /// An answer of another kind than was asked for.
  case unexpected

  package var description: String {
    switch self {
    case .system(let error): "\(error)"
    case .reply(let fault): "the engine does not speak RESP2: \(fault)"
    case .closed: "the engine has closed the connection"
    case .refused(let words): "the engine refuses: \(words)"
    case .silent(let seconds): "the engine has not answered for \(seconds) s"
    case .unexpected: "the engine answers with something else than was asked"
    }
  }
}

/// One connection to an engine, for a poll loop: no call waits.
package final class EngineConnection {
  /// Bytes not yet taken by the engine beyond which nothing more should be sent.
  package static let enough = 1 << 20
  /// Read in one turn, so that others have theirs.
  private static let turn = 256 << 10

  private let file: FileDescriptor
  private var reader: RESPReader
  private var output: [UInt8] = []
  private var written = 0
  private var isConnected = false

  package init(_ address: EngineAddress, limits: RESPReader.Limits = RESPReader.Limits()) throws(EngineFault) {
    do throws(Errno) { file = try address.connect() } catch { throw .system(error) }
    reader = RESPReader(limits)
  }

  package var descriptor: Int32 { file.raw }
  package var wantsToWrite: Bool { !isConnected || written < output.count }
  package var hasRoom: Bool { output.count - written < Self.enough }

  /// Puts a command into the queue; `advance` sends it.
  package func send(_ words: [[UInt8]]) { RESPCommand.encode(words, into: &output) }

  package func send(_ words: String...) { send(words.map { Array($0.utf8) }) }

  /// Sends and takes what can be sent and taken now.
  ///
  /// - Returns: whole replies, in the order of what was asked.
  package func advance() throws(EngineFault) -> [RESPValue] {
    if !isConnected { try finishConnecting() }
    guard isConnected else { return [] }
    try flush()
    var replies: [RESPValue] = []
    var taken = 0
    while taken < Self.turn {
      let part: [UInt8]
      do throws(Errno) { part = try file.read(upTo: 64 << 10) } catch {
        if error.code == EAGAIN { break }
        throw .system(error)
      }
      if part.isEmpty {
        if replies.isEmpty { throw .closed }
        break
      }
      taken += part.count
      reader.feed(part)
      do throws(RESPFault) { while let reply = try reader.next() { replies.append(reply) } } catch {
        throw .reply(error)
      }
    }
    return replies
  }

  private func finishConnecting() throws(EngineFault) {
    guard Poll.ready(reading: [], writing: [file.raw], milliseconds: 0).writing == [file.raw] else { return }
    var code: Int32 = 0
    var length = socklen_t(4)
    unsafe getsockopt(file.raw, SOL_SOCKET, SO_ERROR, &code, &length)
    if code != 0 { throw .system(Errno(code, "connect")) }
    isConnected = true
  }

  private func flush() throws(EngineFault) {
    while written < output.count {
      let count = unsafe output.withUnsafeBytes {
        unsafe CLinux.send(file.raw, $0.baseAddress! + written, $0.count - written, Int32(CLinux_MSG_NOSIGNAL))
      }
      if count < 0 {
        let code = CLinux_errno()
        if code == EINTR { continue }
        if code == EAGAIN { return }
        throw .system(Errno(code, "send"))
      }
      written += count
    }
    output.removeAll(keepingCapacity: output.count <= 65_536)
    written = 0
  }
}

/// One question after another, for programs that have nothing else to do.
package final class Engine {
  private let connection: EngineConnection
  /// Seconds that an answer may take.
  private let patience: Int

  /// Connects and says who it is.
  package init(
    _ address: EngineAddress, user: String, password: String, patience: Int = 10,
    limits: RESPReader.Limits = RESPReader.Limits()
  ) throws(EngineFault) {
    connection = try EngineConnection(address, limits: limits)
    self.patience = patience
    _ = try ask("AUTH", user, password)
  }

  package func ask(_ words: String...) throws(EngineFault) -> RESPValue { try ask(words.map { Array($0.utf8) }) }

  package func ask(_ words: [[UInt8]]) throws(EngineFault) -> RESPValue { try ask(all: [words])[0] }

  /// Sends all at once, and waits for all answers.
  ///
  /// - Throws: also when one of them is a refusal.
  package func ask(all commands: [[[UInt8]]], waiting extra: Int = 0) throws(EngineFault) -> [RESPValue] {
    var replies: [RESPValue] = []
    var sent = 0
    var deadline = Clock.monotonic + Int64(patience + extra) * 1_000_000_000
    while replies.count < commands.count {
      while sent < commands.count, connection.hasRoom {
        connection.send(commands[sent])
        sent += 1
      }
      let now = Clock.monotonic
      if now >= deadline { throw .silent(patience + extra) }
      let fd = connection.descriptor
      _ = Poll.ready(
        reading: [fd], writing: connection.wantsToWrite ? [fd] : [],
        milliseconds: Int32((deadline - now) / 1_000_000 + 1))
      let news = try connection.advance()
      if !news.isEmpty { deadline = Clock.monotonic + Int64(patience + extra) * 1_000_000_000 }
      replies += news
    }
    guard replies.count == commands.count else { throw .unexpected }
    for reply in replies { if let words = reply.refusal { throw .refused(words) } }
    return replies
  }
}
