/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plain C program: stdio, malloc, a table in .bss. Build: cc -O2 -static -o hello hello.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int table[1 << 16];

int main(void)
{
	char *block = malloc(1 << 20);
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");
	long sum = 0;

	if (!block || !maps)
		return 1;
	memset(block, 'x', 1 << 20);
	for (int i = 0; i < 1 << 16; i++)
		sum += table[i] = i;
	printf("hello from C on the model: %ld\n", sum);
	while (fgets(line, sizeof line, maps))
		fputs(line, stdout);
	fclose(maps);
	free(block);
	return 0;
}
