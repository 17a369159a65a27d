import CLinux
import Wire

/// The calls of each of our processes: what the whole test makes them call (strace), and what the C library, the allocator and the
/// language's runtime call instead on other kernels and processors.
extension SystemCalls {
  private static func names(_ text: String) -> [String] { text.splitBytes(" \n").map { String($0) } }

  /// Memory, threads, time, signals, and descriptors that are open.
  private static let steady = names(
    """
    read write readv writev pread64 pwrite64 close close_range lseek fstat fcntl dup dup2 dup3
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2
    timerfd_create timerfd_settime timerfd_gettime signalfd4
    mmap munmap mremap mprotect madvise brk futex get_robust_list set_robust_list rseq set_tid_address membarrier
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack restart_syscall tgkill kill
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom
    getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups uname sysinfo times getrusage
    sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu getpriority setpriority prlimit64 getrlimit
    exit exit_group prctl arch_prctl capget ioctl umask getcwd pipe pipe2
    """)

  /// Files that are read.
  private static let reading = names(
    """
    open openat openat2 access faccessat faccessat2 stat lstat newfstatat statx readlink readlinkat getdents64 statfs fstatfs
    flock fadvise64
    """)

  /// Files that are written.
  private static let writing = names(
    """
    fsync fdatasync ftruncate fallocate inotify_init1 inotify_add_watch inotify_rm_watch rename renameat renameat2 unlink
    unlinkat mkdir mkdirat chmod fchmod fchmodat chown fchown fchownat lchown utimensat rmdir truncate link linkat symlink
    symlinkat chdir fchdir
    """)

  /// Sockets: which ones is for capabilities and address families to say.
  private static let sockets = names(
    """
    socket socketpair bind listen accept accept4 connect getsockname getpeername setsockopt getsockopt shutdown
    sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
    """)

  /// Threads of its own, other programs, and the kernel programs of the gate; what those programs need to give up rights.
  private static let starting = names(
    """
    clone clone3 vfork fork execve wait4 waitid pidfd_open pidfd_send_signal setsid setpgid getsid getpgid getpgrp
    sched_setaffinity setrlimit bpf capset landlock_create_ruleset landlock_add_rule
    landlock_restrict_self seccomp setgroups setresgid setresuid
    """)

  /// The sentry with sensor, decoys and recorder, and what it starts: all of the above. It refuses tracing, mounting, modules, keys,
  /// namespaces, the clock, and whatever the kernel learns later.
  package static let sentry = SystemCalls(
    steady + reading + writing + sockets + starting, otherwise: .refuse,
    families: [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET], commands: kernelPrograms,
    refusing: blocking)

  /// What the programs at interfaces, of the gate and of the decoys take: maps, loading, links that end with us, and frames of our own put
  /// through one. Nothing that finds what others have loaded, and nothing that outlives us.
  private static let kernelPrograms = [
    BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_PROG_LOAD, BPF_PROG_TEST_RUN,
    BPF_OBJ_GET_INFO_BY_FD, BPF_BTF_LOAD, BPF_LINK_CREATE, BPF_LINK_UPDATE,
  ].map(\.rawValue)

  private static func only(_ value: Int32) -> Refusal.Test { .isIn(UInt32(value)...UInt32(value)) }

  /// By what a process with CAP_NET_ADMIN could block anybody without the enforcer: any netlink but that of routes and of sockets
  /// (nf_tables, IPsec, generic); the options by which iptables, arptables, ebtables and IPVS are told their rules; the older way to
  /// routes, addresses and interfaces. What ioctl reads there is let be (names, numbers, flags, addresses, MTU).
  private static let blocking: [Refusal] =
    [
      Refusal(
        "socket",
        [
          (0, only(AF_NETLINK)), (2, .isNot(UInt32(NETLINK_ROUTE))), (2, .isNot(UInt32(NETLINK_SOCK_DIAG))),
        ]),
      Refusal("setsockopt", [(1, only(Int32(IPPROTO_IP))), (2, .isIn(64...UInt32.max))]),
      Refusal("setsockopt", [(1, only(Int32(IPPROTO_IPV6))), (2, .isIn(64...66))]),
      Refusal(
        "ioctl",
        [(1, .isIn(0x8900...0x8bff))]
          + [0x8910, 0x8912, 0x8913, 0x8915, 0x891b, 0x8921, 0x8927, 0x8933].map { (1, .isNot($0)) }),
    ]

  /// For a sentry that has opened what it needs: no further socket for routes. Those that it has were opened without CAP_NET_ADMIN, and
  /// only read (netlink asks for the rights of whoever opened it).
  package static let sealed = SystemCalls(
    nil, otherwise: .refuse, refusing: [Refusal("socket", [(0, only(AF_NETLINK)), (2, only(NETLINK_ROUTE))])])

  /// The enforcer: netlink of rules and routes, files that are read, and the fork by which it is started anew.
  package static let enforcer = SystemCalls(
    steady + reading
      + names(
        "socket bind getsockname setsockopt getsockopt sendto recvfrom sendmsg recvmsg clone clone3 fork wait4 capset"),
    otherwise: .refuse, families: [AF_NETLINK],
    refusing: [
      Refusal(
        "socket", [(2, .isNot(UInt32(NETLINK_ROUTE))), (2, .isNot(UInt32(NETLINK_NETFILTER)))])
    ])

  /// The page: reads files, answers on the socket that it has, and asks the sentry. It starts no program and no process, opens no
  /// socket but such as lead to programs of this host, and changes no file but, where nothing else keeps it from that, the journal's
  /// index of readers. As root SQLite would give that to the journal's owner (fchown), which takes a capability that the page lacks.
  package static let page = SystemCalls(
    steady + reading + ["fsync", "fdatasync", "ftruncate", "unlink", "fchown"] + sockets, otherwise: .kill,
    families: [AF_UNIX])

  /// A client of the network (curl) that sends one message: it reads files, has threads, and becomes that client first.
  package static let client = SystemCalls(
    steady + reading + sockets + names("execve clone clone3 vfork wait4 setsid alarm setitimer sched_setaffinity"),
    otherwise: .refuse, families: [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK])

  /// The fleet's carrier: connects, and no more. It opens no file and starts no program.
  package static let carrier = SystemCalls(steady + sockets, otherwise: .kill)
}
