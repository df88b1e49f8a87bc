// C++: exceptions through frames with destructors, RTTI, containers, streams.
#include <iostream>
#include <map>
#include <vector>
#include <string>
#include <stdexcept>
#include <algorithm>
#include <memory>
#include <sstream>
#include <iomanip>
struct T {
  int v;
  T(int v) : v(v) {}
  ~T() { std::cout << "~" << v << " "; }
};
static int f(int n) {
  T t(n);
  if (n == 0)
    throw std::runtime_error("bottom");
  return f(n - 1) + 1;
}
struct A {
  virtual int g() { return 1; }
  virtual ~A() {}
};
struct B : A {
  int g() override { return 2; }
};
static T global(99);
thread_local std::string tl = "tls";
int main() {
  try {
    f(5);
  } catch (const std::exception &e) {
    std::cout << e.what() << "\n";
  }
  try {
    try {
      throw 7;
    } catch (int i) {
      std::cout << i << "\n";
      throw;
    }
  } catch (...) {
    std::cout << "again\n";
  }
  std::map<std::string, int> m;
  std::istringstream in("the cat and the dog and the bird");
  std::string w;
  while (in >> w)
    m[w]++;
  for (auto &p : m)
    std::cout << p.first << p.second << " ";
  std::vector<int> v;
  for (int i = 0; i < 1000; i++)
    v.push_back(i * 7919 % 1000);
  std::sort(v.begin(), v.end());
  std::cout << v[500] << std::setw(10) << std::setprecision(4) << 3.14159265 << std::hex << 255 << "\n";
  std::unique_ptr<A> a(new B);
  std::cout << a->g() << (dynamic_cast<B *>(a.get()) != nullptr) << tl << "\n";
  try {
    std::vector<int>().at(3);
  } catch (std::out_of_range &) {
    std::cout << "range\n";
  }
  try {
    volatile unsigned long k = 1UL << 60;
    new char[k];
  } catch (std::bad_alloc &) {
    std::cout << "bad_alloc\n";
  }
  std::string line;
  while (std::getline(std::cin, line))
    std::cout << line.size() << " ";
  std::cout << std::endl;
  return 4;
}
