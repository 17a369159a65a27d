/// In which order things came, so that the oldest is found at a cost that does not depend on how many there are. What has gone since is
/// not taken out, but passed over: whoever asks says what is current.
struct ArrivalOrder<Element: Hashable & Sendable>: Sendable {
  private var elements: [Element] = []
  private var head = 0

  /// Places, those passed over included.
  var count: Int { elements.count }

  /// Adds one as the newest.
  ///
  /// - Parameter bound: of places; beyond it, those that are not current go.
  mutating func append(_ element: Element, bound: Int, isCurrent: (Element) -> Bool) {
    elements.append(element)
    if head > 1024, head * 2 > elements.count {
      elements.removeFirst(head)
      head = 0
    }
    // What was taken out and came again has left its old places behind.
    if elements.count > bound {
      var seen: Set<Element> = []
      elements = elements[head...].filter { isCurrent($0) && seen.insert($0).inserted }
      head = 0
    }
  }

  /// Takes the oldest that is current; nil when there is none.
  mutating func takeOldest(where isCurrent: (Element) -> Bool) -> Element? {
    while head < elements.count {
      let element = elements[head]
      head += 1
      if isCurrent(element) { return element }
    }
    return nil
  }
}
