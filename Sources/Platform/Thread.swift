import CLinux

/// A thread of the operating system, for work that blocks: the packet loop, name look-ups.
///
/// Dropping the value leaves the thread running; `join()` waits for it.
package struct Thread: ~Copyable, Sendable {
  private let id: pthread_t

  /// Starts `body` on a new thread, which keeps all signals blocked: they belong to the main thread.
  ///
  /// - Parameter name: what `ps -L` and `top -H` show; the kernel keeps 15 bytes of it.
  /// - Throws: `EAGAIN` when the process may have no more threads.
  package static func start(
    name: String, _ body: @escaping @Sendable () -> Void
  ) throws(Errno) -> Thread {
    // The name is given by the new thread itself, so that it is in place before the body runs.
    let box = Box(name: String(decoding: name.utf8.prefix(15), as: UTF8.self), body)
    let argument = unsafe Unmanaged.passRetained(box)
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    var id = pthread_t()
    let code = unsafe pthread_create(
      &id, nil,
      { raw in
        let box = unsafe Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue()
        unsafe pthread_setname_np(pthread_self(), box.name)
        box.body()
        return nil
      }, argument.toOpaque())
    guard code == 0 else {
      unsafe argument.release()
      throw Errno(code, "pthread_create", name)
    }
    return Thread(id: id)
  }

  private init(id: pthread_t) { self.id = id }

  /// Waits until the body has returned.
  package consuming func join() {
    pthread_join(id, nil)
    discard self
  }

  // A thread neither joined nor detached would keep its stack for ever.
  deinit { _ = pthread_detach(id) }
}

/// Carries the closure through the `void *` of pthread_create.
private final class Box: Sendable {
  let name: String
  let body: @Sendable () -> Void

  init(name: String, _ body: @escaping @Sendable () -> Void) {
    self.name = name
    self.body = body
  }
}
