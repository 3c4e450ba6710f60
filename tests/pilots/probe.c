/* Read the memory of a child as Parrot reads that of the programs it runs; exit with the errno. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char words[] = "seen";

int main(void) {
    char copy[sizeof words] = "";
    struct iovec here = {copy, sizeof copy}, there = {words, sizeof words};
    int failed = 0;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
            _exit(errno);
        raise(SIGSTOP);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (process_vm_readv(child, &here, 1, &there, 1, 0) != sizeof copy)
        failed = errno;
    else if (strcmp(copy, words) != 0)
        failed = 99;
    kill(child, SIGKILL);
    return failed;
}
