// Kernel and libc declarations that Swift's Glibc module lacks, and the few shims for what Swift cannot import:
// function-like macros, variadic functions, and atomics on memory shared with the kernel.
#ifndef CLINUX_H
#define CLINUX_H

// No _GNU_SOURCE here: it changes types that Swift's own Glibc module knows in their plain form (fd_set, __rusage_who),
// and the two would clash. What only it declares stands below.
#include <malloc.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/auxv.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <termios.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/sock_diag.h>

// GNU extensions, as glibc declares them.
extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);
extern int unshare(int flags);
extern int setns(int fd, int type);
static const int CLinux_CLONE_NEWNET = 0x40000000;
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);

// The ring's block status is written by the kernel and by us on different cores.
static inline uint32_t CLinux_load_acquire_u32(const void *address) {
  return __atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE);
}
static inline void CLinux_store_release_u32(void *address, uint32_t value) {
  __atomic_store_n((uint32_t *)address, value, __ATOMIC_RELEASE);
}

static inline uint64_t CLinux_load_acquire_u64(const void *address) {
  return __atomic_load_n((const uint64_t *)address, __ATOMIC_ACQUIRE);
}
static inline void CLinux_store_release_u64(void *address, uint64_t value) {
  __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELEASE);
}

// Large tables: read at random, so worth large pages; given back to the kernel, which zeroes them.
static inline void CLinux_madvise_hugepage(void *address, size_t length) { madvise(address, length, 14 /* MADV_HUGEPAGE */); }
static inline void CLinux_madvise_dontneed(void *address, size_t length) { madvise(address, length, 4 /* MADV_DONTNEED */); }

// From the first byte of the program to the end of its code (symbols of every Linux linker): all of it is of the file, and read only.
extern char __executable_start, etext;
static inline void CLinux_release_code(void) {
  uintptr_t start = (uintptr_t)&__executable_start & ~(uintptr_t)4095, end = (uintptr_t)&etext & ~(uintptr_t)4095;
  if (end > start) madvise((void *)start, end - start, 4 /* MADV_DONTNEED */);
}
static inline void CLinux_prefetch(const void *address) { __builtin_prefetch(address, 1, 3); }

// open(2) and fcntl(2) are variadic, which Swift does not import.
static inline int CLinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int CLinux_openat(int folder, const char *path, int flags, mode_t mode) {
  return openat(folder, path, flags, mode);
}
static inline int CLinux_fcntl_int(int fd, int command, int argument) { return fcntl(fd, command, argument); }

// Socket addresses of every family go through one untyped pointer.
static inline int CLinux_bind(int fd, const void *address, socklen_t length) { return bind(fd, (const struct sockaddr *)address, length); }
static inline int CLinux_connect(int fd, const void *address, socklen_t length) { return connect(fd, (const struct sockaddr *)address, length); }
static inline int CLinux_accept(int fd, void *address, socklen_t *length, int flags) {
  return accept4(fd, (struct sockaddr *)address, length, flags);
}
static inline ssize_t CLinux_sendto(int fd, const void *bytes, size_t count, int flags, const void *address, socklen_t length) {
  return sendto(fd, bytes, count, flags, (const struct sockaddr *)address, length);
}
static inline ssize_t CLinux_recvfrom(int fd, void *bytes, size_t count, int flags, void *address, socklen_t *length) {
  return recvfrom(fd, bytes, count, flags, (struct sockaddr *)address, length);
}
static inline int CLinux_getsockname(int fd, void *address, socklen_t *length) { return getsockname(fd, (struct sockaddr *)address, length); }
static inline int CLinux_getpeername(int fd, void *address, socklen_t *length) { return getpeername(fd, (struct sockaddr *)address, length); }

// Swift marks fork(2) unavailable; we call it once, before there is any thread.
static inline pid_t CLinux_fork(void) { return fork(); }
extern int pipe2(int ends[2], int flags);
static inline int CLinux_pipe(void *ends) { return pipe2((int *)ends, O_CLOEXEC); }

// errno is a macro.
static inline int CLinux_errno(void) { return errno; }

// RLIMIT_NOFILE is a member of an enumeration without a fixed type.
static inline int CLinux_getrlimit_nofile(struct rlimit *limit) { return getrlimit(RLIMIT_NOFILE, limit); }
static inline int CLinux_setrlimit_nofile(const struct rlimit *limit) { return setrlimit(RLIMIT_NOFILE, limit); }

// Wait statuses are taken apart by macros.
static inline int CLinux_exited(int status) { return WIFEXITED(status); }
static inline int CLinux_exit_status(int status) { return WEXITSTATUS(status); }
static inline int CLinux_term_signal(int status) { return WTERMSIG(status); }

// glibc 2.36 has no wrapper with this name in every build; the number is the same on all architectures.
static inline int CLinux_pidfd_open(pid_t pid) { return (int)syscall(434 /* pidfd_open */, pid, 0); }

// bpf(2) has no wrapper. The attributes are a union, of which each command reads its own member.
static inline int CLinux_bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}
// A mount that is in no folder: fsopen, fsconfig (FSCONFIG_CMD_CREATE), fsmount (FSMOUNT_CLOEXEC); the numbers are the same
// on all architectures, and glibc 2.36 has wrappers only with _GNU_SOURCE. Gives its descriptor, or -1.
static inline int CLinux_detached_mount(const char *type) {
  int fs = (int)syscall(430, type, 1);
  if (fs < 0) return -1;
  int mount = syscall(431, fs, 6, (void *)0, (void *)0, 0) == 0 ? (int)syscall(432, fs, 1, 0) : -1;
  int error = errno;
  close(fs);
  errno = error;
  return mount;
}
// The offset of a member behind an unnamed union.
static const int CLinux_sock_ops_sk = __builtin_offsetof(struct bpf_sock_ops, sk);

// Ignoring a signal uses SIG_IGN, a function pointer cast from an integer.
static inline void CLinux_ignore_signal(int number) { signal(number, SIG_IGN); }
static inline void CLinux_default_signal(int number) { signal(number, SIG_DFL); }

// Puts the terminal right should the program trap while it draws on all of it (`portsentry watch`): what is left to do in a
// signal handler is not Swift's. The one piece of global state; set once.
void CLinux_restore_terminal_on_crash(const struct termios *before);

// ioctl(2) is variadic.
static inline int CLinux_window_size(int fd, struct winsize *size) { return ioctl(fd, TIOCGWINSZ, size); }

// prctl(2) is variadic. The signal comes when the thread that started us ends.
static inline int CLinux_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGTERM); }

// Fewer rights. prctl(2) is variadic; capset(2), landlock(7) and seccomp(2) have no wrapper. The numbers of landlock are the same
// on all architectures, and older headers lack them.
extern int setresuid(uid_t real, uid_t effective, uid_t saved);
extern int setresgid(gid_t real, gid_t effective, gid_t saved);
static inline int CLinux_prctl(int option, unsigned long a, unsigned long b) { return prctl(option, a, b, 0UL, 0UL); }
static inline int CLinux_capset(const struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data) {
  return (int)syscall(SYS_capset, header, data);
}
static inline int CLinux_capget(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data) {
  return (int)syscall(SYS_capget, header, data);
}
// Short turns of the processor (0.1 ms, sched(7)): whoever has them is let in sooner when he wakes, from Linux 6.12 on; before it nothing
// comes of it. sched_setattr(2) has no wrapper.
static inline int CLinux_short_turns(void) {
  struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return -1;
  attributes.runtime = 100000;
  return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
// A netlink socket by which nothing can be changed, ever: netlink(7) asks for the rights of whoever opened it, too. This thread's
// CAP_NET_ADMIN is put aside for that moment.
static inline int CLinux_netlink_for_reading(int type, int protocol) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  unsigned held = 0;
  if (syscall(SYS_capget, &header, data) == 0 && (held = data[0].effective & (1U << CAP_NET_ADMIN)) != 0) {
    data[0].effective &= ~held;
    if (syscall(SYS_capset, &header, data) != 0) return -1;
  }
  int fd = socket(AF_NETLINK, type, protocol);
  int error = errno;
  if (held != 0) {
    data[0].effective |= held;
    syscall(SYS_capset, &header, data);
  }
  errno = error;
  return fd;
}
static inline int CLinux_landlock_create(const void *attributes, size_t size, unsigned flags) {
  return (int)syscall(444, attributes, size, flags);
}
static inline int CLinux_landlock_add(int rules, int kind, const void *rule) { return (int)syscall(445, rules, kind, rule, 0); }
static inline int CLinux_landlock_restrict(int rules) { return (int)syscall(446, rules, 0); }
static inline int CLinux_seccomp(unsigned operation, unsigned flags, const void *program) {
  return (int)syscall(SYS_seccomp, operation, flags, program);
}
// landlock_path_beneath_attr is packed, which Swift does not import.
struct CLinux_beneath {
  uint64_t access;
  int32_t folder;
} __attribute__((packed));
static inline int CLinux_landlock_beneath(int rules, uint64_t access, int folder) {
  struct CLinux_beneath rule = {access, folder};
  return CLinux_landlock_add(rules, 1, &rule);
}
// AUDIT_ARCH_* of the machine this is compiled for; 0: no filter of system calls is known for it.
static inline uint32_t CLinux_audit_arch(void) {
#if defined(__x86_64__)
  return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  return AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
  return AUDIT_ARCH_RISCV64;
#else
  return 0;
#endif
}
// Who is at the other end of a Unix socket: of C, struct ucred is only there with GNU's extensions.
struct CLinux_peer {
  pid_t pid;
  uid_t user;
  gid_t group;
};
static inline int CLinux_peer_of(int fd, struct CLinux_peer *peer) {
  socklen_t length = sizeof *peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &length);
}
// Whether another program (ld.so) loaded this one, as it does where libraries are shared.
static inline int CLinux_is_dynamic(void) { return getauxval(AT_BASE) != 0; }
// The number of a system call here, by its name; -1 where this architecture has none.
int CLinux_system_call(const char *name);

// Constants that are macros with casts or of a type that does not import.
static const int CLinux_EPOLL_CLOEXEC = EPOLL_CLOEXEC;
static const int CLinux_SFD_NONBLOCK = SFD_NONBLOCK;
static const int CLinux_SFD_CLOEXEC = SFD_CLOEXEC;
static const int CLinux_SOCK_RAW = SOCK_RAW;
static const int CLinux_SOCK_DGRAM = SOCK_DGRAM;
static const int CLinux_SOCK_STREAM = SOCK_STREAM;
static const int CLinux_SOCK_SEQPACKET = SOCK_SEQPACKET;
static const int CLinux_SOCK_CLOEXEC = SOCK_CLOEXEC;
static const int CLinux_SOCK_NONBLOCK = SOCK_NONBLOCK;
static const int CLinux_EFD_NONBLOCK = EFD_NONBLOCK;
static const int CLinux_EFD_CLOEXEC = EFD_CLOEXEC;
static const int CLinux_MSG_NOSIGNAL = MSG_NOSIGNAL;
static const int CLinux_MSG_DONTWAIT = MSG_DONTWAIT;
// netinet/in.h declares it with _GNU_SOURCE only in some versions of glibc.
static const int CLinux_IPV6_TRANSPARENT = 75;

// Declared only with _GNU_SOURCE (0x80, glibc and musl), and as a macro of another type than its neighbours.
static const short CLinux_POSIX_SPAWN_SETSID = 0x80;


#endif
