// SPDX-License-Identifier: GPL-2.0-or-later
/* Process 1 of a recording guest: runs /scratch/agent on /input, prints how it ended and what it answered, powers off.
 * With a disk, its ext4 is /scratch, and the files are written there first: all of them are in the page cache, and clean. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char buffer[1 << 16];

static void put(const char *text, size_t n)
{
	while (n) {
		ssize_t done = write(1, text, n);

		if (done <= 0)
			return;
		text += done;
		n -= done;
	}
}

static void copy(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
		put(buffer, n);
}

/* Page by page, as the live runner writes them. */
static void install(const char *name)
{
	char from[300], to[300];
	int in, out;
	ssize_t n;

	snprintf(from, sizeof(from), "/files/%s", name);
	snprintf(to, sizeof(to), "/scratch/%s", name);
	in = open(from, O_RDONLY);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, strcmp(name, "agent") ? 0644 : 0755);
	while (in >= 0 && (n = read(in, buffer, 4096)) > 0)
		if (write(out, buffer, n) != n)
			put("@@WRITE\n", 8);
	fsync(out);
	close(out);
	close(in);
}

static void mount_disk(void)
{
	struct dirent *entry;
	DIR *files;

	if (mount("/dev/nvme0n1", "/scratch", "ext4", 0, "") || !(files = opendir("/files")))
		return;
	while ((entry = readdir(files)))
		if (entry->d_name[0] != '.')
			install(entry->d_name);
}

/* The generations of CONFIG_LRU_GEN mark other pages as referenced than the two lists, which all kernels have, do. */
static void choose_lists(void)
{
	int fd;

	mount("sys", "/tmp", "sysfs", 0, 0);
	fd = open("/tmp/kernel/mm/lru_gen/enabled", O_WRONLY);
	if (fd >= 0) {
		write(fd, "0", 1);
		close(fd);
	}
	umount("/tmp");
}

int main(void)
{
	struct termios t;
	struct stat st = { 0 };
	char line[64];
	int status = -1;

	mount("proc", "/proc", "proc", 0, 0);
	mount("dev", "/dev", "devtmpfs", 0, 0);
	choose_lists();
	mount_disk();
	if (!tcgetattr(0, &t)) {
		cfmakeraw(&t);
		tcsetattr(0, TCSANOW, &t);
	}
	if (fork() == 0) {
		char *argv[] = { "./agent", 0 }, *envp[] = { 0 };

		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
		close(0);
		open("/input", O_RDONLY);
		close(1);
		open("/output", O_RDWR | O_CREAT | O_TRUNC, 0600);
		chdir("/scratch");
		execve("./agent", argv, envp);
		_exit(127);
	}
	wait(&status);
	stat("/output", &st);
	put("\n@@KERNEL ", 10);
	copy("/proc/version");
	put("@@DISK ", 7);
	mount("sys", "/tmp", "sysfs", 0, 0);
	copy("/tmp/block/nvme0n1/queue/read_ahead_kb");
	copy("/tmp/block/nvme0n1/queue/max_sectors_kb");
	copy("/tmp/block/nvme0n1/queue/dma_alignment");
	put("\n", 1);
	put(line, snprintf(line, sizeof(line), "@@ANSWERS %d %ld\n", status, (long)st.st_size));
	copy("/output");
	put("@@END\n", 6);
	reboot(RB_POWER_OFF);
}
