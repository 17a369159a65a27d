import Wire

/// All that is in force, for who joins late: a manifest, and chunks of proofs. Its parts belong together by generation and digest; what
/// it says proves itself as everywhere.
package enum Snapshot {
  static let version: UInt8 = 1
  /// A chunk is closed before it grows beyond this.
  package static let chunkBytes = 1 << 20
  /// 512 MB: 1.5 million bans.
  package static let mostChunks = 512
}

extension Snapshot {
  /// version 1 · epoch 8 · generation 8 · position 8 + 8 · proofs 4 · chunks 2 · (length 4 · SHA-256 32) each.
  package struct Manifest: FleetRecord, Hashable {
    package struct Part: Hashable, Sendable {
      package var length: UInt32
      package var digest: Digest

      package init(length: UInt32, digest: Digest) {
        self.length = length
        self.digest = digest
      }
    }

    package static let mostBytes = 39 + mostChunks * 36

    /// Changes when the engine has lost its contents: nodes tell again what they know. At random.
    package var epoch: UInt64
    /// Grows with each snapshot.
    package var generation: UInt64
    /// The place in the stream of proofs up to which they are in it.
    package var position: StreamPosition
    package var proofs: UInt32
    package var parts: [Part]

    package init(
      epoch: UInt64, generation: UInt64, position: StreamPosition, proofs: UInt32, parts: [Part]
    ) {
      self.epoch = epoch
      self.generation = generation
      self.position = position
      self.proofs = proofs
      self.parts = parts
    }

    package var encoded: [UInt8] {
      var bytes: [UInt8] = [version]
      bytes.put(epoch)
      bytes.put(generation)
      bytes.put(position.milliseconds)
      bytes.put(position.sequence)
      bytes.put(proofs)
      bytes.put(UInt16(clamping: parts.count))
      for part in parts {
        bytes.put(part.length)
        bytes += part.digest.array
      }
      return bytes
    }

    package init(_ bytes: RawSpan) throws(MalformedRecord) {
      var reader = FieldReader(bytes)
      try reader.need(39)
      let found = reader.u8()
      guard found == version else { throw .version(found) }
      epoch = reader.u64()
      generation = reader.u64()
      position = StreamPosition(reader.u64(), reader.u64())
      proofs = reader.u32()
      let count = Int(reader.u16())
      guard count <= mostChunks else { throw .field(.count) }
      try reader.need(count * 36)
      parts = []
      for _ in 0..<count { parts.append(Part(length: reader.u32(), digest: Digest(reader.publicKey().bytes))) }
      guard parts.allSatisfy({ $0.length <= chunkBytes }) else { throw .field(.count) }
      try reader.end()
    }
  }

  /// version 1 · generation 8 · index 2 · proofs, one after another.
  package struct Chunk: FleetRecord, Hashable {
    package var generation: UInt64
    package var index: UInt16
    package var proofs: [Proof]

    package init(generation: UInt64, index: UInt16, proofs: [Proof]) {
      self.generation = generation
      self.index = index
      self.proofs = proofs
    }

    static func header(generation: UInt64, index: UInt16) -> [UInt8] {
      var bytes: [UInt8] = [version]
      bytes.put(generation)
      bytes.put(index)
      return bytes
    }

    package var encoded: [UInt8] {
      proofs.reduce(into: Self.header(generation: generation, index: index)) { $0 += $1.encoded }
    }

    package init(_ bytes: RawSpan) throws(MalformedRecord) {
      guard bytes.byteCount <= chunkBytes else { throw .length(bytes.byteCount) }
      var reader = FieldReader(bytes)
      try reader.need(11)
      let found = reader.u8()
      guard found == version else { throw .version(found) }
      generation = reader.u64()
      index = reader.u16()
      proofs = []
      while reader.left > 0 { proofs.append(try Proof(reading: &reader)) }
    }
  }
}
