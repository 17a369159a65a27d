import Wire

/// The one of `names` that `word` was most likely meant to be; nil when none is near.
///
/// Case and `-` for `_` do not count as differences. The distance is the number of letters added, left out, changed,
/// or swapped with a neighbour.
func nearestName(to word: String, among names: [String]) -> String? {
  // Longer words are no misspelling of ours, and the work grows with the square of the length.
  guard (1...40).contains(word.utf8.count) else { return nil }
  let folded = Array(word.asciiLowercased.utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 })
  var best: (name: String, distance: Int)?
  for name in names {
    let distance = editDistance(folded, Array(name.asciiLowercased.utf8))
    // A third of the letters: more would suggest names that have nothing in common with the word.
    guard distance <= max(1, min(name.utf8.count, folded.count) / 3) else { continue }
    if best.map({ distance < $0.distance }) ?? true { best = (name, distance) }
  }
  return best?.name
}

/// Damerau's distance in its restricted form (no letter is touched twice).
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var before: [Int] = []
  var previous = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var cost = min(previous[j + 1] + 1, row[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
      row.append(cost)
    }
    before = previous
    previous = row
  }
  return previous[b.count]
}
