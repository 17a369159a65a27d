import CLinux
import Platform
import Signing
import Wire

/// Why a connection to an engine is over.
package enum EngineFault: Error, Equatable, Sendable, CustomStringConvertible {
  case system(Errno)
  case reply(RESPFault)
  case tls(TLSFault)
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
    case .tls(let fault): "\(fault)"
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
  private let session: TLSSession?
  /// Of TLS, on its way to the engine.
  private var sealed: [UInt8] = []
  private var sealedWritten = 0

  /// - Parameter tls: with which nothing is said before the engine has proven who it is; nil: none of it.
  package init(
    _ address: EngineAddress, tls: TLSContext?, limits: RESPReader.Limits = RESPReader.Limits()
  ) throws(EngineFault) {
    do throws(TLSFault) {
      if let tls { session = try TLSSession(tls) } else { session = nil }
    } catch { throw .tls(error) }
    do throws(Errno) { file = try address.connect() } catch { throw .system(error) }
    reader = RESPReader(limits)
  }

  package var descriptor: Int32 { file.raw }
  package var wantsToWrite: Bool {
    if !isConnected || sealedWritten < sealed.count { return true }
    return written < output.count && session?.isEstablished ?? true
  }
  package var hasRoom: Bool { output.count - written < Self.enough }

  /// Why it is given up when nothing has come for so many seconds.
  func silence(_ seconds: Int) -> EngineFault {
    if isConnected, let session, !session.isEstablished { return .tls(.silent(seconds)) }
    return .silent(seconds)
  }

  /// Puts a command into the queue; `advance` sends it.
  package func send(_ words: [[UInt8]]) { RESPCommand.encode(words, into: &output) }

  /// The same for one that is encoded already.
  package func send(encoded: [UInt8]) { output += encoded }

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
      reader.feed(try open(part))
      do throws(RESPFault) { while let reply = try reader.next() { replies.append(reply) } } catch {
        throw .reply(error)
      }
    }
    // What TLS itself has to answer, and what had to wait for it.
    if session != nil { try flush() }
    return replies
  }

  /// What the engine says in what came.
  private func open(_ part: [UInt8]) throws(EngineFault) -> [UInt8] {
    guard let session else { return part }
    session.receive(part)
    let plain: [UInt8]?
    do throws(TLSFault) { plain = try session.read() } catch { throw .tls(error) }
    guard let plain else { throw .closed }
    return plain
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
    guard let session else { return try Self.send(&output, &written, to: file.raw) }
    while true {
      do throws(TLSFault) {
        try session.advance()
        while written < output.count, sealed.count < Self.enough {
          let count = try session.write(output[written...])
          if count == 0 { break }
          written += count
          sealed += session.takeOutput()
        }
      } catch { throw .tls(error) }
      if written == output.count, written > 0 {
        output.removeAll(keepingCapacity: output.count <= 65_536)
        written = 0
      }
      sealed += session.takeOutput()
      if sealed.isEmpty { return }
      try Self.send(&sealed, &sealedWritten, to: file.raw)
      // The socket is full, or all that may be said now was.
      if !sealed.isEmpty || written == output.count || !session.isEstablished { return }
    }
  }

  /// Sends what the socket takes.
  private static func send(_ bytes: inout [UInt8], _ written: inout Int, to file: Int32) throws(EngineFault) {
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.send(file, $0.baseAddress! + written, $0.count - written, Int32(CLinux_MSG_NOSIGNAL))
      }
      if count < 0 {
        let code = CLinux_errno()
        if code == EINTR { continue }
        if code == EAGAIN { return }
        throw .system(Errno(code, "send"))
      }
      written += count
    }
    bytes.removeAll(keepingCapacity: bytes.count <= 65_536)
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
    _ address: EngineAddress, tls: TLSContext?, user: String, password: String, patience: Int = 10,
    limits: RESPReader.Limits = RESPReader.Limits()
  ) throws(EngineFault) {
    connection = try EngineConnection(address, tls: tls, limits: limits)
    self.patience = patience
    _ = try ask("AUTH", user, password)
  }

  package func ask(_ words: String...) throws(EngineFault) -> RESPValue { try ask(words.map { Array($0.utf8) }) }

  /// A question that is encoded already.
  package func ask(encoded: [UInt8]) throws(EngineFault) -> RESPValue {
    connection.send(encoded: encoded)
    return try replies(1) { _ in }[0]
  }

  package func ask(_ words: [[UInt8]]) throws(EngineFault) -> RESPValue { try ask(all: [words])[0] }

  /// Sends all at once, and waits for all answers.
  ///
  /// - Throws: also when one of them is a refusal.
  package func ask(all commands: [[[UInt8]]]) throws(EngineFault) -> [RESPValue] {
    var sent = 0
    return try replies(commands.count) { connection in
      while sent < commands.count, connection.hasRoom {
        connection.send(commands[sent])
        sent += 1
      }
    }
  }

  private func replies(
    _ count: Int, sending more: (EngineConnection) -> Void
  ) throws(EngineFault) -> [RESPValue] {
    var replies: [RESPValue] = []
    var deadline = Clock.monotonic + Int64(patience) * 1_000_000_000
    while replies.count < count {
      more(connection)
      let now = Clock.monotonic
      if now >= deadline { throw connection.silence(patience) }
      let fd = connection.descriptor
      _ = Poll.ready(
        reading: [fd], writing: connection.wantsToWrite ? [fd] : [],
        milliseconds: Int32((deadline - now) / 1_000_000 + 1))
      let news = try connection.advance()
      if !news.isEmpty { deadline = Clock.monotonic + Int64(patience) * 1_000_000_000 }
      replies += news
    }
    guard replies.count == count else { throw .unexpected }
    for reply in replies { if let words = reply.refusal { throw .refused(words) } }
    return replies
  }
}
