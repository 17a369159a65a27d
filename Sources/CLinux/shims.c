#include "CLinux.h"

static struct termios before_watch;

static void restore_terminal(int number) {
  static const char text[] = "\033[0m\033[?25h\033[?1049l";
  ssize_t ignored = write(1, text, sizeof text - 1);
  (void)ignored;
  tcsetattr(0, TCSAFLUSH, &before_watch);
  // SA_RESETHAND has put the usual end back.
  raise(number);
}

void CLinux_restore_terminal_on_crash(const struct termios *before) {
  before_watch = *before;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = restore_terminal;
  action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
  static const int numbers[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, 0);
}
