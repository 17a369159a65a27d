import CLinux
import Platform
import Response
import Wire

/// Keeps the blocks on disk: a line for each change, written before the next is waited for, so that `kill -9` loses
/// nothing; written anew when it is mostly history.
struct BlockStore: ~Copyable {
  let path: String
  /// Whether there is a file: not in a folder where anybody else can write.
  private let isKept: Bool
  /// Open for appending while nothing has gone wrong.
  private var file: FileDescriptor?
  private var pending: [UInt8] = []
  private var lines = 0
  /// Something could not be written: the next success must write the whole.
  private(set) var isBehind = false

  /// - Parameter directory: nil: nothing is read, and nothing written.
  init(directory: String?) {
    path = "\(directory ?? "")/blocks"
    isKept = directory != nil
  }

  /// Reads what was in force; nothing when there is no file.
  mutating func load() throws(Errno) -> SavedBlocks.Contents {
    guard isKept else { return SavedBlocks.Contents() }
    do throws(Errno) {
      let contents = SavedBlocks.parse(try Files.read(path, limit: 1 << 30))
      lines = contents.lines
      return contents
    } catch {
      guard error.code == ENOENT else { throw error }
      return SavedBlocks.Contents()
    }
  }

  mutating func add(_ block: Block) { SavedBlocks.append(block.record, to: &pending) }
  mutating func remove(_ network: IPNetwork) { pending += Array(SavedBlocks.line(released: network).utf8) }

  var isDirty: Bool { !pending.isEmpty || isBehind }

  /// Writes what has changed.
  mutating func flush(_ table: BlockTable) throws(Errno) {
    guard isDirty else { return }
    guard isKept else {
      pending = []
      return
    }
    lines += pending.count(where: { $0 == 0x0a })
    if isBehind || lines > 2 * table.count + 1000 {
      try rewrite(table)
      return
    }
    do throws(Errno) {
      if file == nil { file = try FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT, mode: 0o600) }
      try file?.writeAll(pending)
      pending = []
    } catch {
      file = nil
      isBehind = true
      pending = []
      throw Errno(error.code, "write", path)
    }
  }

  /// Writes the whole table in place of the file.
  mutating func rewrite(_ table: BlockTable) throws(Errno) {
    pending = []
    guard isKept else { return }
    file = nil
    var bytes = Array(SavedBlocks.header(bootID: Self.bootID).utf8)
    for block in table.unordered { SavedBlocks.append(block.record, to: &bytes) }
    do throws(Errno) {
      try Files.replace(path, with: bytes)
    } catch {
      isBehind = true
      throw error
    }
    isBehind = false
    lines = table.count + 1
  }

  /// Names this boot of the kernel.
  static var bootID: String {
    let bytes = (try? Files.read("/proc/sys/kernel/random/boot_id", limit: 100)) ?? []
    return String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
  }
}
